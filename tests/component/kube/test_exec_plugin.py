"""Exec plugins as processes: called once until their credential expires, with clear failures."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from citadel.kube.config import from_kubeconfig
from citadel.kube.credentials import ExecPlugin, ExecToken
from citadel.kube.errors import ConfigError

V1 = "client.authentication.k8s.io/v1"


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def plugin(folder: Path, script: str) -> Path:
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def credential(**status: Any) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


async def test_a_token_is_kept_until_shortly_before_it_expires(tmp_path: Path) -> None:
    clock = Clock()
    answer = credential(token="t", expirationTimestamp="2026-01-01T01:00:00Z")
    path = plugin(tmp_path, f"echo call >> {tmp_path}/calls; echo '{answer}'")
    token = ExecToken(ExecPlugin(str(path)), None, now=clock)
    calls = tmp_path / "calls"
    assert [await token.token() for _ in range(3)] == ["t"] * 3
    assert calls.read_text().count("call") == 1
    clock.at += timedelta(minutes=59, seconds=31)
    await token.token()
    assert calls.read_text().count("call") == 2
    assert token.expire()
    await token.token()
    assert calls.read_text().count("call") == 3


async def test_a_kubeconfig_names_command_arguments_environment_and_cluster(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        f'printf "%s" "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f"echo '{credential(token='GET-ROLE')}' | sed \"s/GET/$1/; s/ROLE/$ROLE/\"",
    )
    user = {
        "exec": {
            "apiVersion": V1,
            "command": "./plugin",
            "args": ["get"],
            "env": [{"name": "ROLE", "value": "reader"}],
            "provideClusterInfo": True,
        }
    }
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": "https://one"}}],
                "users": [{"name": "x", "user": user}],
            }
        )
    )
    assert await from_kubeconfig([config]).credentials.token() == "get-reader"
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://one"}}
    assert "ROLE" not in os.environ


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "exit code 3"),
        ("echo no", "output is not JSON"),
        ("echo '[]'", "expected an ExecCredential"),
        (f"echo '{credential()}'", "neither token nor clientCertificateData"),
        (f"echo '{credential(token='s3cret', expirationTimestamp='soon')}'", "expected RFC 3339"),
        (
            f"echo '{credential(token='s3cret').replace('/v1', '/v2')}'",
            "expected 'client.authentication.k8s.io/v1'",
        ),
    ],
)
async def test_a_plugin_that_fails_is_named_and_its_output_kept_secret(
    tmp_path: Path, script: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        await ExecToken(ExecPlugin(str(plugin(tmp_path, script))), None).token()
    assert "s3cret" not in str(refused.value)


async def test_a_missing_plugin_comes_with_its_install_hint() -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory\. Install it"):
        await ExecToken(ExecPlugin("/nowhere/plugin", install_hint="Install it with care."), None).token()
