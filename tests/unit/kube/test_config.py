"""Kubeconfig files as people have them, and the messages for those that cannot be used."""

import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ruamel.yaml import YAML

from citadel.kube.config import KubeConfig, from_kubeconfig, in_cluster, load_config
from citadel.kube.credentials import FileToken
from citadel.kube.errors import ConfigError

Config = dict[str, Any]
V1 = "client.authentication.k8s.io/v1"


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate and its key, as PEM."""

    certificate: str
    key: str


@pytest.fixture(scope="module")
def pair() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8, plain = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(built.public_bytes(pem).decode(), key.private_bytes(pem, pkcs8, plain).decode())


def config(cluster: Config | None = None, user: Config | None = None, **context: str) -> Config:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **context}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://one:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }


def write(path: Path, body: Config) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(body, file)
    return path


def read(tmp_path: Path, body: Config, context: str | None = None) -> KubeConfig:
    return from_kubeconfig([write(tmp_path / "config", body)], context)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_the_current_context_names_server_namespace_and_token(tmp_path: Path) -> None:
    found = read(tmp_path, config(user={"token": "t"}, namespace="team"))
    assert (found.server, found.namespace, found.context) == ("https://one:6443", "team", "here")
    assert await found.credentials.token() == "t"
    assert "t'" not in repr(found.credentials)


def test_another_context_can_be_chosen(tmp_path: Path) -> None:
    body = config()
    body["contexts"].append({"name": "there", "context": {"cluster": "d"}})
    body["clusters"].append({"name": "d", "cluster": {"server": "http://two", "proxy-url": "http://p"}})
    found = read(tmp_path, body, "there")
    assert (found.server, found.namespace, found.tls, found.proxy) == (
        "http://two",
        "default",
        None,
        "http://p",
    )


async def test_a_token_file_wins_over_a_token_and_is_relative_to_its_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    found = read(tmp_path, config(user={"token": "t", "tokenFile": "secret"}))
    assert await found.credentials.token() == "from-file"


@pytest.mark.parametrize("inline", [True, False])
def test_authority_and_client_certificate_are_loaded(tmp_path: Path, pair: Pair, inline: bool) -> None:
    texts = {
        "certificate-authority": pair.certificate,
        "client-certificate": pair.certificate,
        "client-key": pair.key,
    }
    fields = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        fields[name] = encoded(text) if inline else name
    suffix = "-data" if inline else ""
    cluster = {f"certificate-authority{suffix}": fields["certificate-authority"]}
    user = {f"{name}{suffix}": fields[name] for name in ("client-certificate", "client-key")}
    tls = read(tmp_path, config({**cluster, "tls-server-name": "kubernetes"}, user)).tls
    assert tls is not None
    assert [found["serialNumber"] for found in tls.get_ca_certs()] == ["01"]
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT


def test_verification_can_be_switched_off(tmp_path: Path) -> None:
    tls = read(tmp_path, config({"insecure-skip-tls-verify": True})).tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_NONE, False)


def test_of_several_files_the_first_that_says_a_thing_wins(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"current-context": "here", "clusters": []})
    two = write(tmp_path / "two", config(namespace="two"))
    three = config({"server": "https://three"}, namespace="three")
    three["current-context"] = "elsewhere"
    files = [one, tmp_path / "missing", two, write(tmp_path / "three", three)]
    found = load_config(env={"KUBECONFIG": ":".join(str(path) for path in files)})
    assert (found.context, found.namespace, found.server) == ("here", "two", "https://one:6443")


def test_without_kubeconfig_the_one_in_the_home_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", config())
    assert load_config(env={"HOME": str(tmp_path)}).context == "here"


async def test_a_pod_finds_its_service_account(tmp_path: Path, pair: Pair) -> None:
    for name, text in {"token": "t1", "ca.crt": pair.certificate, "namespace": "ns"}.items():
        (tmp_path / name).write_text(text)
    found = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, tmp_path)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "ns")
    assert await found.credentials.token() == "t1"
    # The kubelet rotates by a symbolic link to a new folder: another inode.
    (tmp_path / "token.new").write_text("t2")
    (tmp_path / "token.new").replace(tmp_path / "token")
    assert await found.credentials.token() == "t2"


async def test_an_empty_or_missing_token_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="token: empty, expected a token"):
        await FileToken(tmp_path / "token").token()
    with pytest.raises(ConfigError, match="none: No such file"):
        await FileToken(tmp_path / "none").token()


def without(*path: str) -> Callable[[Config], Config]:
    def change(body: Config) -> Config:
        here: Any = body
        for part in path[:-1]:
            here = here[int(part)] if part.isdigit() else here[part]
        del here[path[-1]]
        return body

    return change


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(without("current-context")(config()), "no current-context", id="no current context"),
        pytest.param({**config(), "contexts": []}, "no context 'here', found none", id="unknown context"),
        pytest.param(
            {**config(), "clusters": [{"name": "other"}]}, "no cluster 'c', found other", id="unknown cluster"
        ),
        pytest.param({**config(), "users": None}, "no user 'u', found none", id="unknown user"),
        pytest.param({**config(), "users": "u"}, "users is not a list", id="users of another type"),
        pytest.param(
            without("clusters", "0", "cluster", "server")(config()),
            "cluster 'c': server is missing",
            id="no server",
        ),
        pytest.param(
            config({"server": "one:6443"}), "expected an http\\(s\\) URL", id="server without scheme"
        ),
        pytest.param(
            config({"certificate-authority-data": "%%"}),
            "certificate-authority-data is not base64",
            id="authority not base64",
        ),
        pytest.param(
            config({"certificate-authority-data": encoded("x")}),
            "not PEM certificates",
            id="authority not PEM",
        ),
        pytest.param(
            config({"certificate-authority": "gone.crt"}),
            "cannot read .*gone.crt",
            id="authority file missing",
        ),
        pytest.param(
            config(user={"client-certificate-data": encoded("x")}),
            "belong together",
            id="certificate without key",
        ),
        pytest.param(
            config(user={"client-certificate-data": encoded("x"), "client-key-data": encoded("y")}),
            "client certificate: ",
            id="certificate not PEM",
        ),
        pytest.param(config(user={"auth-provider": {"name": "gcp"}}), "use exec", id="auth provider"),
        pytest.param(config(user={"exec": {}}), "exec.command is missing", id="exec without command"),
        pytest.param(
            config(user={"exec": {"command": "x", "apiVersion": "v1alpha1"}}),
            "exec plugin x: apiVersion 'v1alpha1', expected",
            id="exec of an old version",
        ),
        pytest.param(
            config(user={"exec": {"command": "x", "apiVersion": V1, "env": ["A=b"]}}),
            "exec.env are objects of name and value",
            id="exec environment as strings",
        ),
        pytest.param(
            config(user={"exec": {"command": "x", "interactiveMode": "Always"}}),
            "interactiveMode Always is not supported",
            id="exec that must ask",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, body: Config, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        read(tmp_path, body)
    assert (
        str(tmp_path) in str(refused.value)
        or "exec" in str(refused.value)
        or "certificate" in str(refused.value)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not YAML"), ("- a", "found a list, expected an object"), ("", "no current-context")],
)
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        from_kubeconfig([path])
    assert str(path) in str(refused.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing: No such file"):
        load_config(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="none of these files exists"):
        load_config(env={"KUBECONFIG": "/nothing/a:/nothing/b"})


def test_nowhere_at_all_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"KUBECONFIG is not set, there is no .*/.kube/config, and this is not a pod"
    ):
        load_config(env={"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
