"""Packages of Runtimes on a cluster: from a file server of the test, through the egress proxy, into steps."""

import base64
import io
import json
import platform
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from citadel.kube.resources import EXECUTIONS, RUNTIMES
from live import SYSTEM, Cluster, kubectl
from packagetrees import Trees, constants, native_module

pytestmark = pytest.mark.alone

SERVER = """
import http.server, os, tarfile
tarfile.open("/trees/trees.tar").extractall("/tmp/trees", filter="data")
os.chdir("/tmp/trees")
http.server.ThreadingHTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


@dataclass(frozen=True)
class Index:
    """What the file server has: the lines that pin it, by name."""

    lines: Mapping[str, str]

    def runtime(self, language: str, ecosystem: str, *names: str, **changes: str) -> dict[str, Any]:
        """The spec of a Runtime with these packages, in the image of the shared one of its language."""
        shared = json.loads(kubectl("get", "runtime", language, "-n", SYSTEM, "-o", "json"))["spec"]
        packages = [changes.get(name, self.lines[name]) for name in names]
        return {
            "language": language,
            "image": shared["image"],
            "scratch": "256Mi" if language in ("go", "java") else "128Mi",
            "packages": {ecosystem: packages},
        }


GREET = """package greet

func Text(who string) string { return "hello " + who }
"""


def made(root: Path) -> dict[str, str]:
    """Fills the trees; returns the lines."""
    trees = Trees(root)
    script = {"postinstall": "node -e 'process.exit(1)'"}
    return {
        "alpha": trees.wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE + 1"}, "beta>=2"),
        "beta": trees.wheel("beta", "2.1", {"beta.py": "VALUE = 41"}),
        "left": trees.tarball(
            "left", "1.0.0", {"index.js": "module.exports = require('@x/right') + 1"},
            scripts=script, dependencies={"@x/right": "^2.0.0"},
        ),
        "native": trees.wheel(
            "native", "1.0", {"native.abi3.so": native_module(root.parent)},
            tag=f"cp311-abi3-linux_{platform.machine()}",
        ),
        "greet": trees.module("example.com/greet", "v1.2.0", {"greet.go": GREET}),
        "lib": trees.jar(
            "com.acme", "lib", "1.0",
            {"acme/Lib.class": constants("acme/Lib", GREETING="hello "), "acme/who.txt": "classes"},
        ),
        "right": trees.tarball("@x/right", "2.1.0", {"index.js": "module.exports = 41"}, scripts=script),
    }  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """A file server in the cluster, which the installation takes for its index of packages."""
    root = tmp_path_factory.mktemp("trees")
    lines = made(root)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(root, ".")
    namespace = f"test-files-{uuid.uuid4().hex[:6]}"
    image = kubectl("get", "runtime", "python", "-n", SYSTEM, "-o", "jsonpath={.spec.image}")
    container = {
        "name": "files",
        "image": image,
        # The image has links to places that the shim makes; here nobody does.
        "command": ["sh", "-c", 'mkdir -p /dev/shm/tmp && exec python3 -c "$0"', SERVER],
        "resources": RESOURCES,
        "volumeMounts": [{"name": "trees", "mountPath": "/trees"}, {"name": "tmp", "mountPath": "/dev/shm"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
    }
    volumes = [{"name": "trees", "configMap": {"name": "trees"}}, {"name": "tmp", "emptyDir": {}}]
    body = base64.b64encode(packed.getvalue()).decode()
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _object(namespace, "ConfigMap", "trees", binaryData={"trees.tar": body}),
        _object(
            namespace, "Service", "files", spec={"selector": {"app": "files"}, "ports": [{"port": 8000}]}
        ),
        _object(namespace, "Pod", "files", spec={"containers": [container], "volumes": volumes}),
    ]
    base = f"http://files.{namespace}.svc.cluster.local:8000"
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    try:
        kubectl("wait", "-n", namespace, "pod/files", "--for=condition=Ready", "--timeout=60s")
        _set_indexes(**{name: f"{base}/{name}" for name in ("pip", "npm", "go", "maven")})
        yield Index(lines)
    finally:
        _set_indexes(pip="", npm="", go="", maven="")
        kubectl("delete", "namespace", namespace, "--wait=false")


def _object(namespace: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "files"}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def _set_indexes(**urls: str) -> None:
    """As the chart's packages.indexes does."""
    variables = [f"CITADEL_PACKAGE_INDEX_{name.upper()}" for name in urls]
    given = [
        f"{name}={url}" if url else f"{name}-" for name, url in zip(variables, urls.values(), strict=True)
    ]
    kubectl("set", "env", "-n", SYSTEM, "deployment/citadel-controller", "-c", "controller", *given)
    kubectl("rollout", "status", "-n", SYSTEM, "deployment/citadel-controller", "--timeout=90s")


async def define(cluster: Cluster, name: str, spec: dict[str, Any]) -> None:
    body = {"apiVersion": RUNTIMES.api_version, "kind": "Runtime", "metadata": {"name": name}, "spec": spec}
    await cluster.kube.create(RUNTIMES, {**body, "metadata": {"name": name, "namespace": cluster.namespace}})


def wait(cluster: Cluster, condition: str, name: str = "data") -> dict[str, Any]:
    """The status of a Runtime once it is so."""
    try:
        kubectl("wait", "-n", cluster.namespace, f"runtime/{name}", f"--for={condition}", "--timeout=120s")
    except (AssertionError, subprocess.SubprocessError):
        print(kubectl("get", "-n", cluster.namespace, "runtimes,executions", "-o", "yaml"))
        raise
    status: dict[str, Any] = json.loads(
        kubectl("get", "-n", cluster.namespace, f"runtime/{name}", "-o", "json")
    )["status"]
    return status


def failed(cluster: Cluster, name: str = "data") -> str:
    """The message of a Runtime whose packages could not be installed."""
    status = wait(cluster, 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}=PackagesFailed', name)
    return next(str(item["message"]) for item in status["conditions"] if item["type"] == "Ready")


async def test_steps_import_wheels_and_the_step_of_an_early_execution_waits_for_them(
    cluster: Cluster, index: Index
) -> None:
    await define(cluster, "data", index.runtime("python", "pip", "alpha", "beta"))
    code = "import alpha\ndef main(n=0): return alpha.VALUE + n"
    first = {"name": "first", "run": {"runtime": "data", "code": code}}
    second = {**first, "name": "second", "with": {"n": "${steps.first.output}"}}
    await cluster.workflow("flow", [first, second], outputs={"sum": "${steps.second.output}"})
    status = await cluster.run("flow", seconds=120)
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"sum": 84}), status
    packages = wait(cluster, "condition=Ready")["packages"]
    assert packages["digest"].startswith("sha256:")
    installed = await cluster.kube.get(EXECUTIONS, packages["execution"], cluster.namespace)
    assert installed["status"]["phase"] == "Succeeded"
    # Equal packages in another Runtime are installed for that one, in this image just the same.
    await define(cluster, "more", index.runtime("python", "pip", "beta", "alpha"))
    other = wait(cluster, "condition=Ready", "more")["packages"]
    assert other["execution"] != packages["execution"]


async def test_steps_import_packages_of_npm_whose_scripts_did_not_run(cluster: Cluster, index: Index) -> None:
    await define(cluster, "data", index.runtime("javascript", "npm", "left", "right"))
    wait(cluster, "condition=Ready")
    code = "import value from 'left';\nexport default () => value"
    step = {"name": "a", "run": {"runtime": "data", "code": code}}
    await cluster.workflow("flow", [step], outputs={"value": "${steps.a.output}"})
    status = await cluster.run("flow")
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"value": 42}), status


async def test_an_extension_module_is_loaded_anew_by_every_step_of_a_session(
    cluster: Cluster, index: Index
) -> None:
    await define(cluster, "data", index.runtime("python", "pip", "native"))
    wait(cluster, "condition=Ready")
    code = "import native, os\ndef main(): return [native.answer(), os.uname().nodename]"
    steps = [{"name": name, "run": {"runtime": "data", "code": code}} for name in ("a", "b", "c")]
    await cluster.workflow(
        "flow", steps, outputs={name: f"${{steps.{name}.output}}" for name in ("a", "b", "c")}
    )
    status = await cluster.run("flow")
    assert status["phase"] == "Succeeded", status
    assert [said[0] for said in status["outputs"].values()] == [42, 42, 42]
    assert len({said[1] for said in status["outputs"].values()}) == 1, "it was one session"


async def test_steps_in_go_and_java_are_built_with_modules_and_jars(cluster: Cluster, index: Index) -> None:
    await define(cluster, "words", index.runtime("go", "go", "greet"))
    await define(cluster, "classes", index.runtime("java", "maven", "lib"))
    for name in ("words", "classes"):
        wait(cluster, "condition=Ready", name)
    go = 'package main\n\nimport "example.com/greet"\n\nfunc Main() string { return greet.Text("modules") }\n'
    java = """
class One {
    static Object main() throws Exception {
        try (var in = acme.Lib.class.getResourceAsStream("who.txt")) {
            return acme.Lib.GREETING + new String(in.readAllBytes());
        }
    }
}
"""
    code = {"words": go, "classes": java}
    steps = [
        {"name": name, "run": {"runtime": name, "code": text}, "needs": []} for name, text in code.items()
    ]
    await cluster.workflow("flow", steps, outputs={name: f"${{steps.{name}.output}}" for name in code})
    status = await cluster.run("flow", 120)
    assert status.get("outputs") == {"words": "hello modules", "classes": "hello classes"}, status


@pytest.mark.parametrize(
    ("names", "changes", "says"),
    [
        (("alpha",), {}, "beta"),
        (("beta",), {"beta": f"beta==2.1 --hash=sha256:{'0' * 64}"}, "HASHES"),
        (("beta",), {"beta": f"beta==9.9 --hash=sha256:{'0' * 64}"}, "beta==9.9"),
    ],
)
async def test_an_install_that_fails_shows_its_last_lines(
    cluster: Cluster, index: Index, names: tuple[str, ...], changes: dict[str, str], says: str
) -> None:
    await define(cluster, "data", index.runtime("python", "pip", *names, **changes))
    message = failed(cluster)
    assert says in message
    assert "pip ended with exit code 1" in message


async def test_nothing_but_the_install_reaches_the_index(cluster: Cluster, index: Index) -> None:
    """It is the admin's for packages, not a way out for everybody."""
    url = kubectl(
        "get", "deployment/citadel-controller", "-n", SYSTEM, "-o",
        "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='CITADEL_PACKAGE_INDEX_PIP')].value}",
    )  # fmt: skip
    host = url.removeprefix("http://").partition("/")[0]
    code = f"import urllib.request\ndef main(): return urllib.request.urlopen('{url}', timeout=5).status"
    step = {"name": "a", "run": {"runtime": "python", "code": code}, "network": {"egress": [host]}}
    await cluster.workflow("flow", [step])
    status = await cluster.run("flow")
    assert status["phase"] == "Failed", status
