"""How to reach a cluster and as whom: from inside a pod, or from kubeconfig files as kubectl reads them.

Reads files, never the network. Must never guess past a contradiction: it names file, field and what was
expected.
"""

import base64
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citadel.kube.credentials import (
    Credentials,
    ExecPlugin,
    ExecToken,
    FileToken,
    StaticToken,
    load_client_certificate,
)
from citadel.kube.errors import ConfigError
from citadel.kube.kubeconfig import Entry, File, find, load, read_text, required

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """Everything a client needs: server URL, TLS, tokens, and the namespace that is meant when none is named.

    `server_name` replaces the host name in TLS verification; `proxy` is an HTTP proxy's URL; `context` is the
    kubeconfig context's name, or "in-cluster".
    """

    server: str
    tls: ssl.SSLContext | None = field(repr=False)
    credentials: Credentials = field(repr=False)
    namespace: str = "default"
    server_name: str | None = None
    proxy: str | None = None
    context: str = ""


def load_config(
    path: Path | None = None, context: str | None = None, env: Mapping[str, str] = os.environ
) -> KubeConfig:
    """The configuration as kubectl finds it: `path`, $KUBECONFIG, ~/.kube/config, else the pod's own.

    `context` chooses another context than the current one. Raises ConfigError.
    """
    if path is not None:
        return from_kubeconfig([path], context)
    listed = [Path(part).expanduser() for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return from_kubeconfig(listed, context)
    usual = Path(env.get("HOME") or "/", ".kube", "config")
    if usual.is_file():
        return from_kubeconfig([usual], context)
    if env.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(env)
    raise ConfigError(
        f"no cluster configured: KUBECONFIG is not set, there is no {usual}, and this is not a pod"
    )


def in_cluster(env: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT) -> KubeConfig:
    """The configuration of a pod with a mounted service account token. Raises ConfigError outside of one."""
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    if ":" in host:
        host = f"[{host}]"
    if not (folder / "token").is_file():
        raise ConfigError(f"no service account token in {folder}: is automountServiceAccountToken false?")
    namespace = folder / "namespace"
    return KubeConfig(
        server=f"https://{host}:{port}",
        tls=_tls_context(read_text(folder / "ca.crt", "certificate authority"), str(folder / "ca.crt")),
        credentials=FileToken(folder / "token"),
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
        context="in-cluster",
    )


def from_kubeconfig(paths: Sequence[Path], context: str | None = None) -> KubeConfig:
    """The configuration in kubeconfig files, merged as kubectl does: the first file that says a thing wins.

    Of several files those that do not exist are passed over. Raises ConfigError.
    """
    files = [File(path, load(path)) for path in paths if len(paths) == 1 or path.exists()]
    where = ", ".join(str(path) for path in paths)
    if not files:
        raise ConfigError(f"kubeconfig: none of these files exists: {where}")
    chosen = context or next(
        (str(f.body["current-context"]) for f in files if f.body.get("current-context")), ""
    )
    if not chosen:
        raise ConfigError(f"kubeconfig {where}: no current-context; name a context")
    entry = find(files, "contexts", "context", chosen)
    cluster = find(files, "clusters", "cluster", required(entry, "cluster"))
    user_name = str(entry.body.get("user") or "")
    user = find(files, "users", "user", user_name) if user_name else Entry("no user", Path(), {})
    server = required(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"{cluster.where}: server {server!r}, expected an http(s) URL")
    tls = _cluster_tls(cluster) if server.startswith("https://") else None
    return KubeConfig(
        server=server,
        tls=tls,
        credentials=_credentials(user, cluster, tls),
        namespace=str(entry.body.get("namespace") or "default"),
        server_name=str(cluster.body.get("tls-server-name") or "") or None,
        proxy=str(cluster.body.get("proxy-url") or "") or None,
        context=chosen,
    )


def _tls_context(authority: str | None, where: str) -> ssl.SSLContext:
    try:
        tls = ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise ConfigError(f"{where}: certificate-authority: not PEM certificates: {error}") from error
    # Python 3.13 turned this on; authorities without key identifiers are common in clusters, and kubectl
    # takes them.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls


def _cluster_tls(cluster: Entry) -> ssl.SSLContext:
    authority = cluster.data("certificate-authority")
    if not cluster.body.get("insecure-skip-tls-verify"):
        return _tls_context(authority, cluster.where)
    if authority:
        raise ConfigError(f"{cluster.where}: both a certificate-authority and insecure-skip-tls-verify")
    tls = _tls_context(None, cluster.where)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


def _credentials(user: Entry, cluster: Entry, tls: ssl.SSLContext | None) -> Credentials:
    body = user.body
    certificate, key = user.data("client-certificate"), user.data("client-key")
    if bool(certificate) != bool(key):
        raise ConfigError(f"{user.where}: client-certificate and client-key belong together, found one")
    if certificate and key and tls is not None:
        try:
            load_client_certificate(tls, certificate, key)
        except ConfigError as error:
            raise ConfigError(f"{user.where}: {error}") from error
    if body.get("tokenFile"):
        return FileToken(user.folder / str(body["tokenFile"]))
    if body.get("token"):
        return StaticToken(str(body["token"]))
    if body.get("exec") is not None:
        return ExecToken(_exec_plugin(user, cluster), tls)
    if body.get("auth-provider") or body.get("username"):
        raise ConfigError(
            f"{user.where}: auth-provider and username are no longer supported by Kubernetes; use exec"
        )
    return StaticToken(None)


def _exec_plugin(user: Entry, cluster: Entry) -> ExecPlugin:
    body = user.body["exec"]
    if not isinstance(body, dict) or not isinstance(body.get("command"), str):
        raise ConfigError(f"{user.where}: exec.command is missing")
    if body.get("interactiveMode") == "Always":
        raise ConfigError(
            f"{user.where}: exec.interactiveMode Always is not supported, expected IfAvailable or Never"
        )
    command = str(body["command"])
    if "/" in command and not os.path.isabs(command):
        command = str(user.folder / command)
    described: dict[str, Any] | None = None
    if body.get("provideClusterInfo"):
        described = {"server": cluster.body.get("server")}
        authority = cluster.data("certificate-authority")
        if authority:
            described["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
        if cluster.body.get("insecure-skip-tls-verify"):
            described["insecure-skip-tls-verify"] = True
        if cluster.body.get("tls-server-name"):
            described["tls-server-name"] = cluster.body["tls-server-name"]
    try:
        return ExecPlugin(
            command=command,
            args=tuple(str(arg) for arg in body.get("args") or ()),
            env=tuple((str(item["name"]), str(item["value"])) for item in body.get("env") or ()),
            api_version=str(body.get("apiVersion") or ""),
            install_hint=str(body.get("installHint") or ""),
            cluster=described,
        )
    except ConfigError as error:
        raise ConfigError(f"{user.where}: {error}") from error
    except (TypeError, KeyError) as error:
        raise ConfigError(
            f"{user.where}: exec.args are strings, exec.env are objects of name and value"
        ) from error
