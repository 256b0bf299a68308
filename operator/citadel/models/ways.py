"""Ways to Models: credentials are opened here, and sent through the egress proxy to their own hosts alone."""

import ssl
from typing import Any, Self

import httpx2

from citadel.api.reasons import Reason
from citadel.calls.dialling import Proxied, Ticket
from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener, Unopened
from citadel.calls.transport import ProxiedTransport, client_of
from citadel.llm.asked import Target
from citadel.llm.provider import Provider, ProviderError
from citadel.llm.ways import provider_of
from citadel.store.model_grants import TOKEN, Grant


class Ways:
    """The ways to Models: what is sealed is opened here, for one call, and sent to its own host alone."""

    def __init__(
        self, opener: Opener, proxy: EgressProxy, to_providers: ssl.SSLContext | None = None
    ) -> None:
        """`to_providers` checks those who answer: by default as everybody does."""
        self._opener, self._proxy = opener, proxy
        self._to_providers = to_providers or ssl.create_default_context()

    def __call__(self, target: Target, sealed: str | None, ticket: Ticket) -> Provider:
        """The way to a Model; raises ProviderError."""
        key = self.key(target, sealed)
        return provider_of(target.spec, key, lambda: client_of(self.transport(ticket)))

    def of_grant(self, grant: Grant) -> "GrantedWays":
        """The ways of a grant, whose connections are kept between calls."""
        return GrantedWays(self, grant)

    def transport(self, ticket: Ticket) -> ProxiedTransport:
        """HTTP through the egress proxy, which is shown this ticket."""
        return ProxiedTransport(Proxied(self._proxy, ticket, _problem), self._to_providers)

    def token(self, grant: Grant) -> str:
        """What the calls of a grant show the egress proxy; raises ProviderError."""
        sealed = (grant.sealed or {}).get(TOKEN)
        try:
            if sealed is not None:
                return self._opener.text(sealed)
        except Unopened as error:
            raise ProviderError(Reason.MODEL_ERROR, error.message, sent=False) from None
        raise ProviderError(Reason.MODEL_ERROR, "its grant has no token for the egress proxy", sent=False)

    def key(self, target: Target, sealed: str | None) -> str | None:
        """The credential of a Model; raises ProviderError."""
        if sealed is None:
            return None
        try:
            return self._opener.open(sealed, target.spec.destination)
        except Unopened as error:
            reason = Reason.HOST_NOT_ALLOWED if error.elsewhere else Reason.MODEL_ERROR
            raise ProviderError(reason, error.message, sent=False) from None


class GrantedWays:
    """The ways of one grant."""

    def __init__(self, ways: Ways, grant: Grant) -> None:
        self._ways, self._grant = ways, grant
        self._kept: _Kept | None = None

    def __call__(self, target: Target) -> Provider:
        """The way to a Model; raises ProviderError."""
        key = self._ways.key(target, (self._grant.sealed or {}).get(target.key))
        return provider_of(target.spec, key, self._client)

    def _client(self) -> httpx2.AsyncClient:
        if self._kept is None:
            ticket = Ticket(self._ways.token(self._grant), self._grant.step, self._grant.attempt)
            self._kept = _Kept(transport=self._ways.transport(ticket), timeout=None, trust_env=False)
        return self._kept

    async def aclose(self) -> None:
        """Cuts the connections."""
        if self._kept is not None:
            await self._kept.aclose()


class _Kept(httpx2.AsyncClient):
    """A client that outlives the calls that use it: who made it closes it.

    What it is given it sends as it is: no cookies of a provider, no redirects, no credentials of its own.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **_: Any) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response


def _problem(message: str, *, passes: bool, sent: bool) -> ProviderError:
    return ProviderError(Reason.MODEL_UNAVAILABLE if passes else Reason.MODEL_ERROR, message, sent=sent)
