"""Models on this machine: those of the file, asked as the model gateway does, with a ledger in memory."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from citadel.api.model import ModelSpec
from citadel.core import events as ev
from citadel.core.models import Wanted, question_of
from citadel.core.spending import Account
from citadel.core.values import Values
from citadel.llm.asked import Target
from citadel.llm.aws import AwsCredential, InvalidCredential
from citadel.llm.calling import Call, Caller
from citadel.llm.provider import Provider
from citadel.llm.ways import provider_of
from citadel.local.documents import Contents, WorkflowDocument
from citadel.store.journal import Journal, json_of
from citadel.store.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    import httpx2


class LocalModels:
    """Asks the Models of a file. All executions of one run share it, and so its ledger."""

    def __init__(self, journal: Journal, contents: Contents) -> None:
        self._journal, self._contents = journal, contents
        self._caller = Caller(MemoryLedger(), self._provider)

    async def answer(
        self, uid: str, wanted: Wanted, accounts: tuple[Account, ...], left: float | None
    ) -> tuple[ev.ModelAnswered, Values]:
        """The fact that a call has ended, within `left` seconds, and the values it names."""
        return await self._caller.answer(await self._call(uid, wanted, accounts), left)

    async def usage(self, uid: str, wanted: Wanted, accounts: tuple[Account, ...]) -> ev.Usage | None:
        """What a call has taken that is given up."""
        call = await self._call(uid, wanted, accounts)
        return await self._caller.usage(call, call.targets[0])

    async def _call(self, uid: str, wanted: Wanted, accounts: tuple[Account, ...]) -> Call:
        payload = await json_of(self._journal, uid, wanted.payload)
        chain = models_asked(wanted.llm.model, self._contents.models)
        targets = tuple(Target(name, f"local/{name}", self._contents.models[name]) for name in chain)
        return Call(uid, "local", wanted, question_of(payload), targets, accounts)

    def _provider(self, target: Target) -> Provider:
        credential = target.spec.credential
        key = None
        if credential is not None:
            ref = credential.secret_key_ref
            key = self._contents.data["Secret", ref.name][ref.key].strip()
        return provider_of(target.spec, key, _client)


def _client() -> "httpx2.AsyncClient":
    import httpx2

    # Times are kept by the caller.
    return httpx2.AsyncClient(timeout=None)


def models_asked(name: str, models: Mapping[str, ModelSpec]) -> list[str]:
    """A Model and its fallbacks, each once, in the order in which they are asked."""
    found: list[str] = []
    left = [name]
    while left:
        one = left.pop(0)
        if one in models and one not in found:
            found.append(one)
            left = [*models[one].fallbacks, *left]
    return found


def model_reasons(workflow: WorkflowDocument, contents: Contents) -> Iterator[str]:
    """Why the Models that a workflow's steps ask cannot be asked here."""
    for path, step in workflow.spec.every_step():
        asked = getattr(step, "llm", None)
        if asked is None:
            continue
        if asked.model not in contents.models:
            yield (
                f"step {path}: Model {asked.model} is not in this file; without a cluster, Models come from "
                "the same file"
            )
        for name in models_asked(asked.model, contents.models):
            yield from _of_model(name, contents.models[name], contents)


def _of_model(name: str, spec: ModelSpec, contents: Contents) -> Iterator[str]:
    for fallback in spec.fallbacks:
        if fallback not in contents.models:
            yield f"Model {name}: its fallback {fallback} is not in this file"
    if spec.credential is None:
        return
    ref = spec.credential.secret_key_ref
    texts = contents.data.get(("Secret", ref.name))
    if texts is None or not texts.get(ref.key, "").strip():
        yield (
            f"Model {name}, credential: key {ref.key} of Secret {ref.name} is not in this file; without a "
            "cluster, credentials come from Secrets in the same file"
        )
    elif spec.provider == "bedrock":
        try:
            AwsCredential.parse(texts[ref.key])
        except InvalidCredential as problem:
            yield f"Model {name}, credential: key {ref.key} of Secret {ref.name}: {problem}"
