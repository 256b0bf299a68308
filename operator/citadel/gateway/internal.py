"""The gateway's port for the egress proxy: HTTPS, with the proxy's own certificate for a password.

Sandboxes do not reach this port, and would not get past the handshake.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from citadel.gateway.answers import answered, json_answer, json_object
from citadel.gateway.egress import EgressDesk
from citadel.gateway.refusals import Refused
from citadel.serving import server_tls

_BODY_LIMIT = 2 * 2**20
_Answer = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


def internal_tls(folder: str) -> ssl.SSLContext:
    """A context that lets in whoever has a client's certificate of this installation's CA."""
    context = server_tls(folder)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(f"{folder}/ca.crt")
    return context


def internal_app(desk: EgressDesk, egress_service: str) -> web.Application:
    """What the proxy asks; `egress_service` is the name its certificate has."""

    async def reply(request: web.Request, answer: _Answer) -> web.StreamResponse:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if egress_service not in names_of(certificate):
            raise Refused(403, "Forbidden", f"expected the certificate of {egress_service}")
        return json_answer(await answer(json_object(await request.read())))

    def answering(answer: _Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await answered(reply(request, answer))

        return handle

    app = web.Application(client_max_size=_BODY_LIMIT)
    app.router.add_post("/v1/egress/verdict", answering(desk.verdict))
    app.router.add_post("/v1/egress/connections", answering(desk.connections))
    return app


def names_of(certificate: Mapping[str, Any] | None) -> set[str]:
    """The DNS names of a certificate that was verified."""
    return {value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"}
