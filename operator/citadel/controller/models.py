"""Models as they are in the cluster now: found, checked, their credentials read for where those may go."""

from dataclasses import dataclass

from citadel.api.model import DEFAULT_ENDPOINTS, ModelSpec, destination_of
from citadel.api.reasons import Reason
from citadel.api.validate import InvalidObject, parse
from citadel.controller.checking import Unusable
from citadel.controller.credentials import Credential, not_one_line, read_credential
from citadel.controller.policies import PoliciesOf, check_reachable
from citadel.controller.referring import References
from citadel.kube.cache import Cache
from citadel.kube.resources import MODELS, Object
from citadel.llm.aws import AwsCredential, InvalidCredential, region_of
from citadel.llm.scripted import InvalidScript, Script

#: Models that one call may ask at most, fallbacks of fallbacks included.
MOST_ASKED = 8


@dataclass(frozen=True)
class Found:
    """A Model."""

    namespace: str
    name: str
    spec: ModelSpec
    uid: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class Models:
    """Finds Models; `shared` is the namespace of those that all namespaces may ask."""

    def __init__(self, cache: Cache, references: References, policies: PoliciesOf, shared: str) -> None:
        self._cache, self._references, self._policies = cache, references, policies
        self._shared = shared

    def find(self, namespace: str, name: str) -> Found:
        """The Model of this namespace, else the shared one; raises Unusable."""
        for here in dict.fromkeys((namespace, self._shared)):
            obj = self._cache.get(MODELS, here, name)
            if obj is not None:
                return read_model(obj)
        message = f"Model {name} exists neither in namespace {namespace} nor in {self._shared}"
        raise Unusable(Reason.MODEL_NOT_FOUND, message, waits=True)

    def chain(self, namespace: str, name: str) -> list[Found]:
        """The Model and its fallbacks, in the order in which they are asked; raises Unusable."""
        found: dict[str, Found] = {}
        self._follow(namespace, name, (), found)
        return list(found.values())[:MOST_ASKED]

    def _follow(self, namespace: str, name: str, around: tuple[str, ...], found: dict[str, Found]) -> None:
        try:
            model = self.find(namespace, name)
        except Unusable as problem:
            if not around:
                raise
            message = f"fallback of Model {around[-1].partition('/')[2]}: {problem.message}"
            raise Unusable(problem.reason, message, waits=problem.waits) from None
        if model.key in around:
            names = " > ".join(key.partition("/")[2] for key in (*around, model.key))
            message = f"Model {names}: its fallbacks lead back to it"
            raise Unusable(Reason.INVALID_SPEC, message, waits=True)
        if model.key in found:
            return
        found[model.key] = model
        for fallback in model.spec.fallbacks:
            self._follow(model.namespace, fallback, (*around, model.key), found)

    async def credential(self, model: Found) -> Credential | None:
        """The credential of a Model, for its own endpoint alone; None if it has none. Raises Unusable."""
        if model.spec.credential is None:
            return None
        return await read_credential(
            self._references,
            model.namespace,
            model.spec.credential.secret_key_ref,
            f"Model {model.name}",
            model.spec.destination,
            tuple(_own_hosts(model.spec)),
            _not_of_aws if model.spec.provider == "bedrock" else not_one_line,
        )

    async def permitted(self, model: Found) -> None:
        """Raises Unusable where no step of the Model's namespace could reach it."""
        if model.namespace == self._shared or model.spec.destination is None:
            return  # a shared one serves every namespace: each has policies of its own
        destination, whose = model.spec.destination, f"Model {model.name}"
        await check_reachable(self._policies, model.namespace, destination, whose)


def _not_of_aws(text: str) -> str | None:
    try:
        AwsCredential.parse(text)
    except InvalidCredential as problem:
        return f": {problem}"
    return None


def _own_hosts(spec: ModelSpec) -> list[str]:
    """Where the provider itself is."""
    if spec.provider in DEFAULT_ENDPOINTS:
        return [destination_of(DEFAULT_ENDPOINTS[spec.provider])]
    host, _, port = str(spec.destination).rpartition(":")
    return [str(spec.destination)] if port == "443" and region_of(host) is not None else []


def read_model(obj: Object) -> Found:
    """The Model of an object; raises Unusable."""
    metadata = obj["metadata"]
    try:
        spec = parse("Model", obj)
        if spec.provider == "scripted":
            Script(spec)
    except InvalidObject as error:
        raise Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False) from None
    except InvalidScript as error:
        message = f"Model {metadata['name']}: spec.{error}"
        raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=False) from None
    return Found(metadata["namespace"], metadata["name"], spec, metadata["uid"])
