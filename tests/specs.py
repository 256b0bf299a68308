"""Workflows, Runtimes and ExecutionPolicies with anything in every field, and the pods that come of them.

The strategies are made from the schemas that the API server has: a field added later is in them by itself.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from citadel.api.policy import ExecutionPolicySpec
from citadel.api.runtime import RuntimeSpec
from citadel.api.schema import structural
from citadel.api.step import ACTIONS
from citadel.api.validate import problems
from citadel.api.workflow import WorkflowSpec
from citadel.controller.definitions import Definitions
from citadel.controller.policies import Policies
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES, WORKFLOWS, Resource
from citadel.kube.resources import POLICIES as POLICIES_RESOURCE
from citadel.kube.resources import RUNTIMES as RUNTIMES_RESOURCE
from citadel.render.pod import Site, sandbox_pod

Value = dict[str, Any]
IMAGES = (
    "alpine",
    "alpine:3",
    "docker.io/library/alpine",
    "Docker.IO/evil/app",
    "evil/app",
    "registry.example/team/app:1",
    "registry.example/team2/app",
    "registry.example:443/team/app@sha256:" + "0" * 64,
    "REGISTRY.example/team/app",
    "registry.example.evil/team/app",
    "localhost/app",
    "localhost:5000/app",
)
PREFIXES = (
    "docker.io/",
    "docker.io/library/",
    "docker.io/evil",
    "registry.example/",
    "registry.example/team",
    "registry.example/team/app:1",
    "localhost/",
)
QUANTITIES = ("1m", "50m", "250m", "1", "1.5", "2", "64", "8Mi", "64Mi", "100M", "256Mi", "1Gi", "4Gi", "1Ti")
DURATIONS = ("500ms", "1s", "30s", "1m30s", "1h", "24h")
DESTINATIONS = ("api.example.com:443", "*.example.com:443", "db.mine.example:5432", "evil.example:443")
CLASSES = ("gvisor", "runc", "kata", "no-such-class")
NAMES = ("citadel.dev/execution", "citadel.dev/spec-hash", "app.kubernetes.io/name", "disktype", "a/b")
#: What is drawn where a text is a free choice, by the name of its field; the rest follows the schema alone.
WORDS: Mapping[str, tuple[str, ...]] = {
    "image": IMAGES,
    "runtimeClassName": CLASSES,
    "priorityClassName": ("system-node-critical", "batch"),
    "code": ("def main(**args): return args",),
    "when": ("true",),
    "key": NAMES,
    "value": ("", "x", "${inputs}", "$(CITADEL_KEY)"),
}


def of_schema(schema: Mapping[str, Any], field: str = "") -> st.SearchStrategy[Any]:
    """Values that fit a structural schema."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return _object(schema)
    if kind == "object" and "additionalProperties" in schema:
        keys = st.sampled_from(NAMES if "abel" in field or field == "nodeSelector" else ("a", "b"))
        return st.dictionaries(keys, of_schema(schema["additionalProperties"], "value"), max_size=2)
    if kind == "array":
        item = of_schema(schema["items"], field)
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", 2), 2)
        key = (schema.get("x-kubernetes-list-map-keys") or [None])[0]
        unique = (lambda value: value[key]) if key else None
        return st.lists(item, min_size=least, max_size=max(least, most), unique_by=unique)
    if kind == "string":
        return _text(schema, field)
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), min(schema.get("maximum", 1000), 10_000))
    if kind == "number":
        return st.floats(schema.get("minimum", 0), schema.get("maximum", 100), allow_nan=False)
    if kind == "boolean":
        return st.booleans()
    return st.dictionaries(st.sampled_from(("a", "b")), st.integers(0, 3), max_size=1)


def _object(schema: Mapping[str, Any]) -> st.SearchStrategy[Value]:
    fields = {name: of_schema(below, name) for name, below in schema["properties"].items()}
    required = {name: fields[name] for name in schema.get("required", ())}
    optional = {name: value for name, value in fields.items() if name not in required}
    if set(ACTIONS) <= fields.keys():
        actions = {name: optional.pop(name) for name in ACTIONS}
        whole = [
            st.fixed_dictionaries({**required, name: one}, optional=optional) for name, one in actions.items()
        ]
        return st.one_of(whole)
    sources = [name for name in ("code", "codeFrom", "entrypoint") if name in optional]
    if len(sources) > 1:
        texts = {name: optional.pop(name) for name in sources}
        return st.fixed_dictionaries({**required, "code": texts["code"]}, optional=optional)
    return st.fixed_dictionaries(required, optional=optional)


def _text(schema: Mapping[str, Any], field: str) -> st.SearchStrategy[str]:
    pattern = schema.get("pattern", "")
    if field in WORDS:
        return st.sampled_from(WORDS[field])
    if "Ki|Mi|Gi" in pattern:
        return st.sampled_from(QUANTITIES)
    if "ms|s|m|h" in pattern:
        return st.sampled_from(DURATIONS)
    if (
        field in ("egress", "hosts")
        or (field in ("allow", "deny") and "65535" in pattern)
        or r"\*\." in pattern
    ):
        return st.sampled_from(DESTINATIONS)
    if field in ("allow", "deny"):
        return st.sampled_from(PREFIXES)
    if field in ("allowed",):
        return st.sampled_from(CLASSES)
    if field == "privateDestinations":
        return st.sampled_from(("10.0.0.0/8:5432", "fd00::/8:443"))
    if pattern:
        return _matching(pattern).filter(lambda text: len(text) <= schema["maxLength"])
    return st.text(
        "aA0-./_ \n$(){}", min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 8), 8)
    )


@lru_cache
def _matching(pattern: str) -> st.SearchStrategy[str]:
    """Short texts of a pattern; a strategy is made once, since making it takes longer than drawing."""
    return st.from_regex(re.sub(r"\{0,\d+\}", "{0,6}", pattern), fullmatch=True)


def fitting(kind: str, spec: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """Specs that our own checks take: what these refuse reaches no pod."""

    def fits(found: Value) -> bool:
        version = {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}}
        return not problems(kind, {**version, "spec": found})

    return spec.filter(fits)


def _without(schema: Value, *fields: str) -> Value:
    return {**schema, "properties": {k: v for k, v in schema["properties"].items() if k not in fields}}


# What only says in which order and how often something runs has no part in a pod, and would seldom fit.
_WORKFLOW = structural(WorkflowSpec)
_STEP = _without(
    _WORKFLOW["properties"]["steps"]["items"], "needs", "when", "with", "join", "files", "artifacts", "retry"
)
RUNTIMES = fitting("Runtime", of_schema(_without(structural(RuntimeSpec), "packages")))
POLICIES = fitting(
    "ExecutionPolicy", of_schema(_without(structural(ExecutionPolicySpec), "namespaceSelector"))
)


STEPS = of_schema(_STEP)
MODIFIERS = of_schema({**_without(_WORKFLOW, "steps", "inputs", "outputs"), "required": []})


@dataclass(frozen=True)
class Submission:
    """What a submitter and a namespace's admin wrote, and what the cluster's admin allows."""

    workflow: Value
    runtime: Value
    shared: bool
    """Whether the Runtime is the admin's own."""
    policies: tuple[Value, ...]


@st.composite
def submissions(draw: st.DrawFn) -> Submission:
    """One step of any kind, its Runtime, and up to two policies."""
    step = {**draw(STEPS), "name": "a"}
    if "run" in step:
        step["run"] = {**step["run"], "runtime": "own"}
    workflow = {**draw(MODIFIERS), "steps": [step]}
    policies = draw(st.one_of(st.just(()), st.tuples(POLICIES), st.tuples(POLICIES, POLICIES)))
    return Submission(workflow, draw(RUNTIMES), draw(st.booleans()), policies)


SITE = Site(
    namespace="citadel-sandboxes",
    runner_image="registry.example/citadel-runner:1",
    gateway_url="https://10.96.0.7:443",
    ca="-----BEGIN CERTIFICATE-----\n",
    user_namespaces=True,
    forbidden=("gateway-tripwire=10.96.0.7:8444",),
)
SYSTEM, TEAM = "citadel-system", "team"


class _Shelf(KubeClient):
    """An API server that has one Workflow and one Runtime."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Any:
        if resource == WORKFLOWS:
            return _object_of("Workflow", TEAM, name, self._submission.workflow)
        place = SYSTEM if self._submission.shared else TEAM
        if resource != RUNTIMES_RESOURCE or namespace != place:
            raise NotFound(404, "NotFound", f"no {name} in {namespace}")
        return _object_of("Runtime", place, name, self._submission.runtime)


class _NoTable:
    """Nobody reads what is published here."""

    async def all(self) -> dict[str, Any]:
        return {}

    async def get(self, namespace: str) -> list[Any]:
        raise AssertionError(namespace)

    async def put(self, namespace: str, policies: Any) -> None: ...


def _object_of(kind: str, namespace: str, name: str, spec: Value) -> Value:
    metadata = {"name": name, "namespace": namespace, "uid": name, "generation": 1}
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def pods(submission: Submission) -> list[Value]:
    """The pods that a submission comes to, as the controller makes them; raises Unusable where it refuses."""
    cache = Cache()
    cache.put(NAMESPACES, {"metadata": {"name": TEAM}})
    for number, spec in enumerate(submission.policies):
        cache.put(POLICIES_RESOURCE, _object_of("ExecutionPolicy", "", f"p{number}", spec))
    shelf = _Shelf(submission)
    live = Definitions(shelf, SYSTEM, Policies(shelf, cache, _NoTable()))
    plan = asyncio.run(live.pin(TEAM, "flow")).plan
    return [
        sandbox_pod(f"cx-{number}", f"{TEAM}/run", place.template, SITE, "key")
        for number, place in enumerate(plan.placements.values())
    ]
