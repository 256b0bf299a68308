"""The way to a Model: its script, or a real provider, whose client is loaded when it is first asked."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm.provider import Provider, ProviderError
from citadel.llm.scripted import InvalidScript, Script

if TYPE_CHECKING:
    import httpx2


def provider_of(spec: ModelSpec, key: str | None, client: "Callable[[], httpx2.AsyncClient]") -> Provider:
    """The provider of a Model; raises ProviderError where there is none."""
    if spec.provider == "scripted":
        try:
            return Script(spec)
        except InvalidScript as error:
            raise ProviderError(Reason.MODEL_ERROR, str(error), sent=False) from None
    try:
        if spec.provider == "bedrock":
            from citadel.llm.bedrock import Bedrock

            return Bedrock(spec, key, client)
        from citadel.llm.langchain import LangChain
    except ImportError:
        message = "the clients of real providers are not installed: pip install 'citadel-workflows[models]'"
        raise ProviderError(Reason.MODEL_ERROR, message, sent=False) from None
    return LangChain(spec, key, client)
