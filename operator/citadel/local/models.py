"""Models on this machine: those of the file, asked as the model gateway does, with a ledger in memory."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from citadel.api.agent import AgentSpec
from citadel.api.model import ModelSpec
from citadel.core import events as ev
from citadel.core.jsonvalues import Json
from citadel.core.models import Wanted, question_of
from citadel.core.spending import Account, Turn
from citadel.core.values import Values
from citadel.llm import chat, turns
from citadel.llm.asked import Payer, Target
from citadel.llm.asking import Asker, PassOn
from citadel.llm.aws import AwsCredential, InvalidCredential
from citadel.llm.calling import Call, Caller
from citadel.llm.provider import Provider
from citadel.llm.ways import provider_of
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.pinning import agents_of
from citadel.store.journal import Journal, json_of
from citadel.store.ledger import taken
from citadel.store.memory_grants import MemoryModelGrants, MemoryModelRecords
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant
from citadel.store.model_records import ModelRecord

if TYPE_CHECKING:
    import httpx2


class LocalModels:
    """Asks the Models of a file. All executions of one run share it, and so its ledger."""

    def __init__(self, journal: Journal, contents: Contents) -> None:
        self._journal, self._contents = journal, contents
        self.ledger = MemoryLedger()
        self.records = MemoryModelRecords(self.ledger)
        self._grants = MemoryModelGrants(self.ledger)
        self._caller = Caller(self.ledger, self._provider)

    async def answer(
        self, uid: str, wanted: Wanted, accounts: tuple[Account, ...], left: float | None
    ) -> tuple[ev.ModelAnswered, Values]:
        """The fact that a call has ended, within `left` seconds, and the values it names."""
        return await self._caller.answer(await self._call(uid, wanted, accounts), left)

    async def usage(self, uid: str, wanted: Wanted, accounts: tuple[Account, ...]) -> ev.Usage | None:
        """What a call has taken that is given up."""
        call = await self._call(uid, wanted, accounts)
        return await self._caller.usage(call, call.targets[0])

    async def begin(self, key: tuple[str, str, int]) -> None:
        """An attempt of an agent may ask from now on."""
        await self._grants.place(Grant(*key, "local", {}))

    async def end(self, key: tuple[str, str, int]) -> ev.Usage | None:
        """The attempt is over: what it took in all."""
        await self._grants.remove(*key)
        return await taken(self.ledger, *key)

    async def turn(
        self,
        key: tuple[str, str, int],
        agent: AgentSpec,
        accounts: tuple[Account, ...],
        turn: Turn,
        asked: chat.Asked,
        body: Json,
        pass_on: PassOn,
    ) -> ModelRecord:
        """What an agent is answered; raises Failed, and NotGranted."""
        payer = Payer(*key, "local", self._targets(agent.model), accounts, turn)
        bounds = chat.Bounds(agent.max_tokens, agent.temperature)
        asker = Asker(self.ledger, self._provider)
        return await turns.answer(asker, self.records, payer, asked, bounds, pass_on, body)

    def _targets(self, model: str) -> tuple[Target, ...]:
        chain = models_asked(model, self._contents.models)
        return tuple(Target(name, f"local/{name}", self._contents.models[name]) for name in chain)

    async def _call(self, uid: str, wanted: Wanted, accounts: tuple[Account, ...]) -> Call:
        payload = await json_of(self._journal, uid, wanted.payload)
        targets = self._targets(wanted.llm.model)
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
    asked = [
        (f"step {path}", llm.model)
        for path, step in workflow.spec.every_step()
        if (llm := getattr(step, "llm", None)) is not None
    ]
    asked += [(f"Agent {name}", agent.model) for name, agent in agents_of(workflow, contents).items()]
    for where, model in asked:
        if model not in contents.models:
            yield (
                f"{where}: Model {model} is not in this file; without a cluster, Models come from the same "
                "file"
            )
        for name in models_asked(model, contents.models):
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
