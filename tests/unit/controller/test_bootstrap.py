"""The certificates that clients will verify, and what the controller pod's other containers find."""

import asyncio
import socket
import ssl
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from citadel.api.runtime import LANGUAGES
from citadel.controller.bootstrap import ROLES, Installation, Prepared, write_files
from citadel.controller.certificates import (
    CA_LIFETIME,
    LEAF_LIFETIME,
    Identity,
    KeyPair,
    issue,
    new_authority,
    why_new_authority,
    why_new_certificate,
)
from citadel.controller.runtimes import default_runtimes
from citadel.serving import keep_certificate, server_tls
from citadel.settings import InvalidSettings

NOW = datetime.now(UTC)  # TLS handshakes look at the real clock
GATEWAY = Identity(["gateway", "gateway.system.svc"], ["10.96.3.4"])
AUTHORITY = new_authority("citadel", NOW)


def shake_hands(server: KeyPair, trusted: bytes, host: str, folder: Path) -> None:
    """A TLS handshake between a server and a client, as strict as Python verifies."""
    (folder / "tls.crt").write_bytes(server.certificate)
    (folder / "tls.key").write_bytes(server.key)
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    connecting = ssl.create_default_context(cadata=trusted.decode())
    connecting.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            accepting.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()  # the client says why

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        connecting.wrap_socket(here, server_hostname=host).close()
    finally:
        here.close()
        thread.join()


@pytest.mark.parametrize("host", ["gateway", "gateway.system.svc", "10.96.3.4"])
def test_a_client_that_trusts_the_ca_reaches_the_server_by_each_of_its_names(
    host: str, tmp_path: Path
) -> None:
    shake_hands(issue(AUTHORITY, GATEWAY, NOW), AUTHORITY.certificate, host, tmp_path)


@pytest.mark.parametrize("host", ["api", "10.96.3.5"])
def test_a_client_refuses_a_name_that_the_certificate_does_not_hold(host: str, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issue(AUTHORITY, GATEWAY, NOW), AUTHORITY.certificate, host, tmp_path)


def test_a_client_refuses_a_server_of_another_installation(tmp_path: Path) -> None:
    other = new_authority("citadel", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issue(other, GATEWAY, NOW), AUTHORITY.certificate, "gateway", tmp_path)


def test_the_authority_may_sign_servers_but_no_authorities() -> None:
    extensions = x509.load_pem_x509_certificate(AUTHORITY.certificate).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_a_server_never_outlives_its_authority() -> None:
    late = NOW + CA_LIFETIME - timedelta(days=40)
    leaf = x509.load_pem_x509_certificate(issue(AUTHORITY, GATEWAY, late).certificate)
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate)
    assert leaf.not_valid_after_utc == authority.not_valid_after_utc


def leaf(identity: Identity = GATEWAY, made: datetime = NOW) -> KeyPair:
    return issue(AUTHORITY, identity, made)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        pytest.param(leaf, None, id="a good one stays"),
        pytest.param(
            lambda: leaf(Identity(["gateway.system.svc", "gateway"], ["10.96.3.4"])),
            None,
            id="order of names",
        ),
        pytest.param(lambda: leaf(made=NOW - LEAF_LIFETIME + timedelta(days=31)), None, id="31 days left"),
        pytest.param(
            lambda: leaf(made=NOW - LEAF_LIFETIME + timedelta(days=29)), "expires on", id="29 days left"
        ),
        pytest.param(
            lambda: leaf(Identity(GATEWAY.names, ["10.96.9.9"])), "other names", id="new cluster IP"
        ),
        pytest.param(lambda: leaf(Identity(["gateway"])), "other names", id="no address"),
        pytest.param(
            lambda: issue(new_authority("citadel", NOW), GATEWAY, NOW),
            "not signed by this CA",
            id="foreign CA",
        ),
        pytest.param(lambda: KeyPair(leaf().certificate, leaf().key), "do not belong", id="mixed pairs"),
        pytest.param(lambda: KeyPair(b"", b""), "cannot be read", id="empty"),
        pytest.param(lambda: KeyPair(b"x", b"y"), "cannot be read", id="garbage"),
    ],
)
def test_a_certificate_is_made_anew_exactly_when_it_is_not_good(
    found: Callable[[], KeyPair], told: str | None
) -> None:
    reason = why_new_certificate(found(), AUTHORITY, GATEWAY, NOW)
    assert reason is None if told is None else told in (reason or "")


def test_an_authority_is_made_anew_only_when_it_is_about_to_expire_or_broken() -> None:
    assert why_new_authority(AUTHORITY, NOW) is None
    assert "expires on" in (why_new_authority(AUTHORITY, NOW + CA_LIFETIME - timedelta(days=29)) or "")
    assert "cannot be read" in (why_new_authority(KeyPair(AUTHORITY.certificate, b"?"), NOW) or "")


def test_the_controller_finds_its_own_password_and_the_migration_finds_all(tmp_path: Path) -> None:
    passwords = {role: f"secret-{role}".encode() for role in ("postgres", *ROLES)}
    prepared = Prepared(b"CERTIFICATE", passwords)
    write_files(prepared, tmp_path)
    write_files(prepared, tmp_path)  # the container was restarted
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {
        "superuser": b"secret-postgres",
        "roles/controller": b"secret-controller",
        "roles/gateway": b"secret-gateway",
        "roles/api": b"secret-api",
        "roles/models": b"secret-models",
        "roles/tools": b"secret-tools",
        "controller/ca.crt": b"CERTIFICATE",
        "controller/database-password": b"secret-controller",
    }
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in found} == {0o600}


def test_what_is_secret_is_not_in_representations() -> None:
    shown = repr(AUTHORITY) + repr(Prepared(b"CERTIFICATE", {"postgres": b"hunter2"}))
    assert "PRIVATE" not in shown
    assert "hunter2" not in shown


def test_names_follow_from_the_environment_of_the_chart() -> None:
    found = Installation.from_env({"CITADEL_NAME": "runner", "CITADEL_DATABASE_BUNDLED": "true"})
    services = (found.gateway_service, found.api_service, found.egress_service, found.models_service)
    assert services == ("runner-gateway", "runner-api", "runner-egress", "runner-models")
    assert found.bundled_database
    assert not Installation.from_env({}).bundled_database


def test_a_default_runtime_sets_language_and_image_and_nothing_an_admin_may_want_to_add() -> None:
    (runtime,) = default_runtimes({"python": "registry/python:1"}, "citadel-system")
    assert runtime["metadata"]["name"] == "python"
    assert runtime["metadata"]["namespace"] == "citadel-system"
    assert runtime["spec"] == {"language": "python", "image": "registry/python:1"}


def test_each_language_that_has_an_image_has_a_default_runtime() -> None:
    images = {language: f"registry/{language}:1" for language in LANGUAGES}
    found = [runtime["spec"] for runtime in default_runtimes(images, "citadel-system")]
    assert found == [{"language": name, "image": image} for name, image in sorted(images.items())]


def test_agents_have_a_python_of_their_own_with_the_room_that_the_chart_names() -> None:
    room = {"limits": {"memory": "512Mi"}}
    (runtime,) = default_runtimes({"agent": "registry/agent:1"}, "citadel-system", {}, {"agent": room})
    assert runtime["metadata"]["name"] == "agent"
    assert runtime["metadata"]["annotations"] == {"citadel.dev/agents": "true"}
    assert runtime["spec"]["language"] == "python"
    assert runtime["spec"]["resources"]["limits"] == {"memory": "512Mi"}


def test_resources_that_are_none_name_the_variable() -> None:
    given = {"agent": {"limits": {"memory": "much"}}}
    with pytest.raises(InvalidSettings, match="CITADEL_RUNTIME_RESOURCES: found"):
        list(default_runtimes({"agent": "registry/agent:1"}, "citadel-system", {}, given))


def test_an_image_for_an_unknown_language_names_the_variable() -> None:
    with pytest.raises(
        InvalidSettings, match="CITADEL_RUNTIME_IMAGE_COBOL: found language 'cobol', expected"
    ):
        list(default_runtimes({"cobol": "registry/cobol:1"}, "citadel-system"))


async def test_a_server_takes_over_a_renewed_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("citadel.serving.CERTIFICATE_SECONDS", 0)

    def put(pair: KeyPair) -> None:
        (tmp_path / "tls.crt").write_bytes(pair.certificate)
        (tmp_path / "tls.key").write_bytes(pair.key)

    put(issue(AUTHORITY, GATEWAY, NOW))
    context = server_tls(str(tmp_path))
    renewed = issue(AUTHORITY, GATEWAY, NOW)
    put(renewed)
    await keep_certificate(context, str(tmp_path))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="gateway")
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    assert ssl.DER_cert_to_PEM_cert(shown).encode() == renewed.certificate
