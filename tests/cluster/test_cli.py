"""The command line on the real cluster, by somebody with a client certificate and the role `edit` alone."""

import base64
import json
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from citadel.kube.resources import WORKFLOWS
from live import CLUSTER_DIR, SANDBOXES, SYSTEM, Cluster, kubectl, python

HELLO = Path(__file__).parents[2] / "examples" / "hello" / "workflow.yaml"
PROGRAM = str(Path(sys.executable).with_name("citadel"))
FOREVER = "import time\ndef main():\n    print('begun', flush=True)\n    time.sleep(600)"


@dataclass(frozen=True)
class User:
    """Somebody with a kubeconfig of their own."""

    name: str
    kubeconfig: Path

    @property
    def env(self) -> dict[str, str]:
        path = f"{CLUSTER_DIR / 'bin'}:{Path(PROGRAM).parent}:{os.environ['PATH']}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def citadel(self, *args: str, code: int = 0, program: tuple[str, ...] = (PROGRAM,)) -> tuple[str, str]:
        """Standard output and standard error; fails the test for another exit code."""
        done = subprocess.run([*program, *args], capture_output=True, text=True, env=self.env, timeout=120)
        assert done.returncode == code, f"citadel {' '.join(args)}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """The command while it runs; it is ended where the test has not."""
        with subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, text=True, env=self.env) as process:
            try:
                yield process
            finally:
                process.terminate()

    def typed(self, *args: str) -> str:
        """What the command shows on a terminal without colours."""
        command = ["script", "-qec", shlex.join([PROGRAM, *args]), "/dev/null"]
        env = {**self.env, "NO_COLOR": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60).stdout


@pytest.fixture(scope="module")
def certificate() -> tuple[str, str, str]:
    """A user of the cluster: name, certificate and key (PEM), signed by the cluster itself."""
    name = f"jane-{uuid.uuid4().hex[:8]}"
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    request = base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": request,
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "expirationSeconds": 3600,
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        kubectl("certificate", "approve", name)
        kubectl("wait", "csr", name, "--for=jsonpath={.status.certificate}", "--timeout=30s")
        signed = kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")
    finally:
        kubectl("delete", "csr", name)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return name, base64.b64decode(signed).decode(), private.decode()


def kubeconfig(path: Path, namespace: str, credentials: dict[str, str]) -> Path:
    """A kubeconfig of somebody else than the admin."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = credentials
    config["contexts"][0]["context"]["namespace"] = namespace
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def stranger(cluster: Cluster, certificate: tuple[str, str, str], tmp_path: Path) -> User:
    """A user whom the cluster knows, without any right in the namespace."""
    name, signed, key = certificate
    credentials = {
        "client-certificate-data": base64.b64encode(signed.encode()).decode(),
        "client-key-data": base64.b64encode(key.encode()).decode(),
    }
    return User(name, kubeconfig(tmp_path / "kubeconfig", cluster.namespace, credentials))


@pytest.fixture
def user(cluster: Cluster, stranger: User) -> User:
    """The same one, bound to `edit` in the namespace."""
    binding = ["create", "rolebinding", "someone", "--clusterrole=edit", f"--user={stranger.name}"]
    kubectl(*binding, "-n", cluster.namespace)
    return stranger


def name_of(created: str) -> str:
    """The name in `execution.citadel.dev/NAME created`."""
    return created.split()[0].partition("/")[2]


def test_a_file_is_run_to_its_end_by_a_user_with_edit(user: User) -> None:
    out, err = user.citadel("run", str(HELLO), "-i", "name=Ada", "--wait")
    assert json.loads(out) == {"greeting": "HELLO, ADA!", "letters": 8}
    name = name_of(err.splitlines()[0])
    assert err.splitlines()[-1].startswith(f"{name}  Succeeded  3/3")
    listed, _ = user.citadel("get")
    assert listed.splitlines()[1].split()[:5] == [name, "hello", "Succeeded", "Completed", "3/3"]
    shown, err = user.citadel("get", name)
    assert [line.split()[2:4] for line in shown.splitlines()[1:4]] == [
        ["greet", "Succeeded"],
        ["count", "Succeeded"],
        ["cheer", "Succeeded"],
    ]
    assert err == ""
    assert user.citadel("logs", name)[0] == "greet | greeting Ada\n"
    found = json.loads(user.citadel("get", name, "-o", "json")[0])
    assert [step["name"] for step in found["status"]["steps"]] == ["greet", "count", "cheer"]


async def test_a_workflow_that_has_changed_runs_again_as_it_was(user: User, cluster: Cluster) -> None:
    await cluster.workflow(
        "tale", [python("one", "def main(): return 1")], outputs={"n": "${steps.one.output}"}
    )
    first, _ = user.citadel("run", "tale", "--wait")
    assert json.loads(first) == {"n": 1}
    changed = {"spec": {"steps": [python("one", "def main(): return 2")]}}
    await cluster.kube.patch(WORKFLOWS, "tale", changed, cluster.namespace)
    second, _ = user.citadel("run", "tale", "--wait")
    assert json.loads(second) == {"n": 2}
    _, *rows = user.citadel("history", "tale")[0].splitlines()
    new, old = (row.split()[0] for row in rows)
    assert [row.split()[-1] for row in rows] == ["1", "1"]
    shown, _ = user.citadel("diff", "tale", old, new, code=1)
    changes = [line.split(maxsplit=1)[1] for line in shown.splitlines()[2:] if line[0] in "+-"]
    assert [f"return {n}" in text for text, n in zip(changes, "12", strict=True)] == [True, True]
    assert user.citadel("diff", "tale")[0] == ""
    third, err = user.citadel("run", "tale", "--revision", old, "--wait")
    assert json.loads(third) == {"n": 1}
    assert f"\nworkflow tale, revision {old}\n" in user.citadel("get", name_of(err))[0]


async def test_logs_are_followed_while_it_runs_and_cancelling_ends_it(user: User, cluster: Cluster) -> None:
    await cluster.workflow("forever", [python("wait", FOREVER)])
    name = name_of(user.citadel("run", "forever")[0])
    with user.started("logs", "-f", name) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "wait | begun\n"
        assert user.citadel("cancel", name)[0] == f"execution {name} is being cancelled\n"
        assert following.wait(60) == 0
    status = (await cluster.finished(name))["status"]
    assert status["phase"] == "Cancelled"
    _, err = user.citadel("cancel", name)
    assert err == f"execution {name} has already ended: Cancelled; there is nothing to cancel\n"


async def test_a_suspended_one_starts_nothing_new_until_it_is_resumed(user: User, cluster: Cluster) -> None:
    await cluster.workflow("two", [python("one", FOREVER), python("next", "def main(): return 1")])
    name = name_of(user.citadel("run", "two")[0])
    await cluster.until(name, lambda found: (found.get("status") or {}).get("phase") == "Running")
    assert user.citadel("suspend", name)[0] == f"execution {name} suspended\n"
    assert (await cluster.get(name))["spec"]["suspend"] is True
    assert user.citadel("resume", name)[0] == f"execution {name} resumed\n"
    assert (await cluster.get(name))["spec"]["suspend"] is False
    user.citadel("cancel", "--now", name)
    status = (await cluster.finished(name))["status"]
    assert status["phase"] == "Cancelled"
    _, err = user.citadel("resume", name, code=2)
    assert err == f"citadel: execution {name} has already ended: Cancelled; it cannot be resumed\n"


async def test_one_that_fails_ends_with_1_and_says_which_step_and_why(user: User, cluster: Cluster) -> None:
    code = "def main():\n    print('before')\n    raise ValueError('no rows')"
    await cluster.workflow("bad", [python("load", code)])
    out, err = user.citadel("run", "bad", "--logs", code=1)
    assert out == "load | before\n"
    assert "ValueError: no rows" in err
    name = name_of(err.splitlines()[0])
    _, told = user.citadel("get", name, "--outputs", code=1)
    assert told.startswith(f"citadel: execution {name} has no outputs: Failed: ")
    shown, _ = user.citadel("get", name)
    assert "✘ load" in shown
    assert "ValueError: no rows" in shown


async def test_outputs_too_large_for_a_status_come_in_full(user: User, cluster: Cluster) -> None:
    await cluster.workflow(
        "large",
        [python("make", "def main(): return ['x' * 100] * 900")],
        outputs={"rows": "${steps.make.output}"},
    )
    out, _ = user.citadel("run", "large", "--wait", "--name", "large-1")
    expected = ["x" * 100] * 900
    assert json.loads(out) == {"rows": expected}
    assert json.loads(user.citadel("get", "large-1", "--outputs")[0]) == {"rows": expected}
    assert json.loads(user.citadel("get", "large-1", "--outputs", "--step", "make")[0]) == expected


async def test_what_code_prints_cannot_steer_a_terminal(user: User, cluster: Cluster) -> None:
    await cluster.workflow("rude", [python("rude", r"def main(): print('\x1b[2J\x1b]0;owned\x07done')")])
    out, _ = user.citadel("run", "rude", "--logs")
    assert out.splitlines()[0] == "rude | \x1b[2J\x1b]0;owned\x07done"
    name = json.loads(user.citadel("get", "-o", "json")[0])["items"][0]["metadata"]["name"]
    assert user.typed("logs", name).splitlines() == ["rude | ␛[2J␛]0;owned␇done"]


async def test_a_user_without_rights_is_told_so_by_every_command(stranger: User, cluster: Cluster) -> None:
    await cluster.workflow("one", [python("one", "def main(): return 1")])
    name = await cluster.execute("one")
    await cluster.finished(name)
    commands = [["get"], ["get", name], ["logs", name], ["cancel", name], ["run", "one"], ["run", str(HELLO)]]
    for command in commands:
        out, err = stranger.citadel(*command, code=3)
        assert out == ""
        assert err.startswith("citadel: the cluster refused: "), command
        assert stranger.name in err
        assert cluster.namespace in err


async def test_whoever_may_see_executions_but_not_their_logs_sees_no_logs(
    stranger: User, cluster: Cluster
) -> None:
    await cluster.workflow("one", [python("one", "def main(): print('secret')")])
    name = await cluster.execute("one")
    await cluster.finished(name)
    space = ("-n", cluster.namespace)
    kubectl("create", "role", "see", "--verb=get,list,watch", "--resource=executions.citadel.dev", *space)
    kubectl("create", "rolebinding", "see", "--role=see", f"--user={stranger.name}", *space)
    assert stranger.citadel("get", name)[0].startswith(f"✔ {name}  Succeeded")
    out, err = stranger.citadel("logs", name, code=3)
    assert out == ""
    told = f"citadel: user {stranger.name} may not get executions/log in namespace {cluster.namespace}"
    assert err.startswith(told)


def test_a_service_accounts_token_reaches_the_api_too(cluster: Cluster, tmp_path: Path) -> None:
    space = ("-n", cluster.namespace)
    kubectl("create", "serviceaccount", "robot", *space)
    account = f"{cluster.namespace}:robot"
    kubectl("create", "rolebinding", "robot", "--clusterrole=edit", f"--serviceaccount={account}", *space)
    token = kubectl("create", "token", "robot", *space).strip()
    robot = User("robot", kubeconfig(tmp_path / "robot", cluster.namespace, {"token": token}))
    out, _ = robot.citadel("run", str(HELLO), "--wait")
    assert json.loads(out)["greeting"] == "HELLO, WORLD!"
    name = json.loads(robot.citadel("get", "-o", "json")[0])["items"][0]["metadata"]["name"]
    assert robot.citadel("logs", name)[0] == "greet | greeting world\n"


def test_kubectl_has_it_as_a_plugin(user: User) -> None:
    out, _ = user.citadel("citadel", "--help", program=("kubectl",))
    assert "Commands:" in out


def lines(report: str) -> dict[str, str]:
    """The marks of a report by what they are about; the last of equal ones."""
    return {line[2:].partition(":")[0]: line[0] for line in report.splitlines() if not line.startswith(" ")}


def test_doctor_finds_nothing_wrong_as_admin_and_nothing_hidden_wrong_as_user(
    user: User, cluster: Cluster
) -> None:
    admin = User("admin", Path(os.environ.get("KUBECONFIG", CLUSTER_DIR / "kubeconfig")))
    report, _ = admin.citadel("doctor")
    assert set(lines(report).values()) == {"✔"}, report
    report, _ = user.citadel("doctor")
    seen: dict[str, Any] = lines(report)
    assert {about for about, mark in seen.items() if mark == "?"} == {
        "controller",
        "gateway",
        "NetworkPolicies enforced",
        "user namespaces",
        "processes",
    }, report
    assert f"{user.name} may run, see and stop executions in namespace {cluster.namespace}" in report
    assert f"Unknown: you may not see the policies of {SANDBOXES}" in report


def test_doctor_says_what_is_wrong(stranger: User, tmp_path: Path) -> None:
    report, _ = stranger.citadel("doctor", code=1)
    assert lines(report)["resources"] == "✔"
    assert f"✘ rights: {stranger.name} may not run, see and stop executions" in report
    assert f"--clusterrole=edit --user={stranger.name}" in report
    admin = User("admin", Path(os.environ.get("KUBECONFIG", CLUSTER_DIR / "kubeconfig")))
    report, _ = admin.citadel("doctor", "--release", "elsewhere", code=1)
    assert f"✘ controller: elsewhere-controller does not exist in namespace {SYSTEM}" in report
