"""The way to Citadel's api: a port forwarded by kubectl, with the kubeconfig's identity on both legs.

The API server decides who may open it, and the api then asks the cluster what they may read. The forwarding
process always ends with the tunnel.
"""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from citadel.cli.forwarding import forwarded
from citadel.cli.remote import Cluster, ExitCode, Refused
from citadel.kube.credentials import Credentials
from citadel.kube.errors import ApiError
from citadel.kube.resources import CONFIGMAPS

PORT = 8443
HEALTH_PORT = 8080
#: Seconds for which the api may say nothing: it sends comments where there is no news.
SILENCE = 60.0


class TunnelClosed(Exception):
    """The connection broke while it was used, or the api cannot answer now; another try may do."""


@dataclass(frozen=True)
class Tunnel:
    """An open tunnel; requests go to the api as the kubeconfig's user."""

    namespace: str
    session: aiohttp.ClientSession
    credentials: Credentials
    ports: dict[int, int]
    server_name: str

    @asynccontextmanager
    async def open(
        self,
        path: str,
        body: Any = None,
        /,
        *,
        of: str = "executions",
        method: str | None = None,
        **query: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer; raises Refused for another one, TunnelClosed when the connection breaks.

        With a `body` it is sent, as JSON; else the path is read, unless `method` says otherwise.
        """
        token = await self.credentials.token()
        url = f"https://127.0.0.1:{self.ports[PORT]}/api/v1/namespaces/{quote(self.namespace)}/{of}/{path}".removesuffix(
            "/"
        )
        try:
            async with self.session.request(
                method or ("GET" if body is None else "POST"),
                url,
                params=query,
                data=None if body is None else io.BytesIO(json.dumps(body, ensure_ascii=False).encode()),
                headers={"Authorization": f"Bearer {token}"} if token else {},
                server_hostname=self.server_name,
            ) as answer:
                if answer.status not in (200, 202):
                    raise _refusal(answer.status, await answer.text())
                yield answer
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise TunnelClosed(f"the connection to the api broke: {error or type(error).__name__}") from error

    async def health(self) -> tuple[int, str]:
        """Status and text of the api's /readyz; raises TunnelClosed."""
        url = f"http://127.0.0.1:{self.ports[HEALTH_PORT]}/readyz"
        try:
            async with self.session.get(url) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, OSError) as error:
            raise TunnelClosed(f"the connection to the api broke: {error or type(error).__name__}") from error


class NotStarted(Refused):
    """The journal does not know the execution yet, or not any more."""


def _refusal(status: int, text: str) -> Exception:
    text = text.strip()[:500]
    match status:
        case 401:
            message = f"the api does not know the kubeconfig's user: {text}"
            return Refused(message, ExitCode.UNREACHABLE)
        case 403:
            return Refused(text, ExitCode.UNREACHABLE)
        case 404 if "has not started" in text:
            return NotStarted(text)
        case 409 if "not known to the journal yet" in text:
            return NotStarted(text)
        case 400 | 404 | 409 | 413:
            return Refused(text)
    return TunnelClosed(f"the api answers {status}: {text}")


class Api:
    """The api through a tunnel that is opened when it is needed, and opened anew when it broke."""

    def __init__(self, cluster: Cluster, *, archived: bool = False) -> None:
        self._cluster = cluster
        self._always = {"archived": "true"} if archived else {}
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._tunnel: Tunnel | None = None
        self._was_open = False

    async def close(self) -> None:
        """Ends the tunnel; a later call opens another one."""
        self._tunnel = None
        await self._stack.aclose()

    async def get(self, path: str, *, of: str = "executions", **query: str) -> Any:
        """The JSON at a path below the namespace's executions, or others; raises Refused, TunnelClosed."""
        async with self.open(path, of=of, **query) as answer:
            return await answer.json()

    async def send(self, path: str, body: Any) -> Any:
        """Sends JSON to a path below the namespace's executions; raises Refused, TunnelClosed."""
        async with self.open(path, body) as answer:
            return await answer.json()

    async def delete(self, path: str, *, of: str) -> Any:
        """Deletes what stands at a path; raises Refused, TunnelClosed."""
        async with self.open(path, of=of, method="DELETE") as answer:
            return await answer.json()

    @asynccontextmanager
    async def open(
        self,
        path: str,
        body: Any = None,
        /,
        *,
        of: str = "executions",
        method: str | None = None,
        **query: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer; raises Refused for another one, TunnelClosed when the connection breaks."""
        tunnel = await self._opened()
        try:
            async with tunnel.open(path, body, of=of, method=method, **self._always, **query) as answer:
                yield answer
        except TunnelClosed:
            async with self._lock:
                if self._tunnel is tunnel:
                    await self.close()
            raise

    async def _opened(self) -> Tunnel:
        async with self._lock:
            if self._tunnel is None:
                try:
                    self._tunnel = await self._stack.enter_async_context(open_tunnel(self._cluster))
                except Refused as error:
                    # It was possible before: the pod is being replaced, and will be back.
                    raise (TunnelClosed(str(error)) if self._was_open else error) from None
                self._was_open = True
            return self._tunnel


@asynccontextmanager
async def open_api(cluster: Cluster, *, archived: bool = False) -> AsyncIterator[Api]:
    """The api, for as long as a command needs it; with `archived` for executions whose objects are gone."""
    api = Api(cluster, archived=archived)
    try:
        yield api
    finally:
        await api.close()


@asynccontextmanager
async def open_tunnel(cluster: Cluster, *ports: int) -> AsyncIterator[Tunnel]:
    """Forwards ports (the api's, when none are named) of the installation's first api pod.

    Raises Refused when kubectl is missing, or may not.
    """
    # Its own TLS context: the client certificate is the kubeconfig's, but the server is another one.
    config = cluster.target.config()
    tls = config.tls or ssl.create_default_context()
    authority = await _authority(cluster)
    if authority is not None:
        tls.load_verify_locations(cadata=authority)
    else:
        # Without the installation's CA nothing can be verified, and little is lost: the tunnel ends at the
        # pod that the API server, which was verified, chose; nobody else can listen at its other end.
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    async with forwarded(cluster.target, ports or (PORT,)) as local:
        connector = aiohttp.TCPConnector(ssl=tls, limit=4)
        timeout = aiohttp.ClientTimeout(total=None, connect=10.0, sock_read=SILENCE)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            name = f"{cluster.target.release}-api.{cluster.target.system_namespace}.svc"
            yield Tunnel(cluster.namespace, session, config.credentials, local, name)


async def _authority(cluster: Cluster) -> str | None:
    """The CA that the installation publishes for its users; None where it cannot be read."""
    target = cluster.target
    try:
        found = await cluster.kube.get(CONFIGMAPS, f"{target.release}-ca", target.system_namespace)
    except ApiError:
        return None
    return (found.get("data") or {}).get("ca.crt") or None
