"""Workflows, Runtimes and ExecutionPolicies with anything in every field, and the pods that come of them.

They follow the schemas that the API server has: a field added later is in them by itself.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from citadel.api.policy import ExecutionPolicySpec
from citadel.api.runtime import RuntimeSpec
from citadel.api.schema import structural
from citadel.api.validate import problems
from citadel.api.workflow import WorkflowSpec
from citadel.controller.definitions import Definitions
from citadel.controller.policies import Policies
from citadel.controller.shelf import Shelf
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
    "docker.io/library/alpine",
    "Docker.IO/evil/app",
    "evil/app",
    "registry.example/team/app",
    "registry.example/team2/app",
    "registry.example:443/team/app",
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
#: Actions of steps that get a sandbox.
ACTIONS = ("run", "container")
#: What is drawn for fields of these names; the others take what their pattern lets through of TEXTS.
WORDS: Mapping[str, tuple[str, ...]] = {
    "runtimeClassName": ("gvisor", "gvisor", "gvisor", "no-such-class"),
    "allowed": ("gvisor", "no-such-class"),
    "priorityClassName": ("batch", "low", "a-class-that-is-not-there", "system-node-critical"),
    "code": ("def main(**args): return args",),
    "when": ("true",),
    "key": ("citadel.dev/execution", "app.kubernetes.io/name", "disktype"),
    "value": ("", "x", "1", "$(CITADEL_KEY)"),
    "egress": ("api.example.com:443", "db.mine.example:5432"),
    "cost": ("0.5", "12"),
    "costPerDay": ("20",),
    "prompt": ("What is it?",),
    "hosts": ("api.example.com:443",),
    "privateDestinations": ("10.0.0.0/8:5432", "fd00::/8:443"),
}
TEXTS = (
    *("", "a", "b-1", "A_b", "x y", "a.b/c", "/data/a", "./a", "${inputs}", "30s", "1h30m", "x" * 40),
    *("sha256:" + "0" * 64, "citadel.dev/execution", "main:run"),
)


def value(rnd: Random, schema: Mapping[str, Any], field: str = "") -> Any:
    """Something that fits a structural schema."""
    if "enum" in schema:
        return rnd.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return _object(rnd, schema)
    if kind == "object" and "additionalProperties" in schema:
        keys = rnd.sample(WORDS["key"], rnd.randint(0, 2))
        return {key: value(rnd, schema["additionalProperties"], "value") for key in keys}
    if kind == "array":
        return _array(rnd, schema, field)
    if kind == "string":
        return _text(rnd, schema, field)
    if kind == "integer":
        return rnd.randint(schema.get("minimum", 0), min(schema.get("maximum", 1000), 10_000))
    if kind == "number":
        return rnd.uniform(schema.get("minimum", 0), schema.get("maximum", 100))
    if kind == "boolean":
        return rnd.random() < 0.5
    return {key: rnd.randint(0, 3) for key in rnd.sample("ab", rnd.randint(0, 1))}


def _object(rnd: Random, schema: Mapping[str, Any]) -> Value:
    fields = schema["properties"]
    chosen = {name for name in fields if name in schema.get("required", ()) or rnd.random() < 0.6}
    # Of these exactly one, as the models and the API server's rules want it.
    for choice in (ACTIONS, ("code", "codeFrom", "entrypoint")):
        if set(choice) & fields.keys() and len(set(choice) & fields.keys()) > 1:
            chosen -= set(choice)
            chosen.add(rnd.choice(choice) if choice is ACTIONS else "code")
    if "network" in chosen and rnd.random() < 0.8:
        chosen.remove("network")  # seldom: without a policy it is refused before anything is made
    return {name: value(rnd, fields[name], name) for name in fields if name in chosen}


def _array(rnd: Random, schema: Mapping[str, Any], field: str) -> list[Any]:
    least = schema.get("minItems", 0)
    size = rnd.randint(least, max(least, min(schema.get("maxItems", 2), 2)))
    items = [value(rnd, schema["items"], field) for _ in range(size)]
    key = (schema.get("x-kubernetes-list-map-keys") or [None])[0]
    return list({item[key]: item for item in items}.values()) if key else items


def _text(rnd: Random, schema: Mapping[str, Any], field: str) -> str:
    pattern = schema.get("pattern", "")
    if field == "image":
        return rnd.choice(IMAGES) + rnd.choice(
            ("", f":{rnd.randint(1, 99)}", f"@sha256:{rnd.getrandbits(256):064x}")
        )
    if field in WORDS:
        return rnd.choice(WORDS[field])
    if "Ki|Mi|Gi" in pattern:
        return rnd.choice((f"{rnd.randint(1, 4000)}m", f"{rnd.randint(1, 64)}", f"{rnd.randint(1, 4000)}Mi"))
    if field in ("allow", "deny"):
        return rnd.choice(WORDS["egress"] if "6553" in pattern else PREFIXES)
    fitting = [
        text
        for text in TEXTS
        if re.search(pattern, text) and schema.get("minLength", 0) <= len(text) <= schema["maxLength"]
    ]
    assert fitting, f"field {field}: none of TEXTS matches {pattern}; add one that does"
    return rnd.choice(fitting)


def _valid(rnd: Random, kind: str, schema: Mapping[str, Any]) -> Value:
    """A spec that our own checks take: what these refuse reaches no pod."""
    version = {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}}
    while True:
        found: Value = value(rnd, schema)
        if not problems(kind, {**version, "spec": found}):
            return found


def _without(schema: Value, *fields: str) -> Value:
    return {**schema, "properties": {k: v for k, v in schema["properties"].items() if k not in fields}}


# What only says in which order and how often something runs has no part in a pod, and would seldom fit.
_WORKFLOW = structural(WorkflowSpec)
#: What a step that gets a sandbox says of it.
_OF_SANDBOXES = ("name", *ACTIONS, "timeout", "isolation", "network")
_ALL_OF_STEP = _WORKFLOW["properties"]["steps"]["items"]
_STEP = _without(_ALL_OF_STEP, *(_ALL_OF_STEP["properties"].keys() - set(_OF_SANDBOXES)))
_MODIFIERS = {**_without(_WORKFLOW, "steps", "finally", "inputs", "outputs"), "required": []}
_RUNTIME = _without(structural(RuntimeSpec), "packages")
_POLICY = _without(structural(ExecutionPolicySpec), "namespaceSelector")


@dataclass(frozen=True)
class Submission:
    """What a submitter and a namespace's admin wrote, and what the cluster's admin allows."""

    workflow: Value
    runtime: Value
    shared: bool
    """Whether the Runtime is the admin's own."""
    policies: tuple[Value, ...]


def submission(rnd: Random) -> Submission:
    """One step of any kind, its Runtime, and up to two policies."""
    step = {**value(rnd, _STEP), "name": "a"}
    if "run" in step:
        step["run"] = {**step["run"], "runtime": "own"}
    workflow = {**value(rnd, _MODIFIERS), **_placed(rnd, step)}
    runtime = _valid(rnd, "Runtime", _RUNTIME)
    policies = tuple(_valid(rnd, "ExecutionPolicy", _POLICY) for _ in range(rnd.choice((0, 0, 1, 2))))
    granting = tuple({**policy, **_granted(rnd, runtime)} for policy in policies)
    return Submission(workflow, runtime, rnd.random() < 0.5, granting)


def _placed(rnd: Random, step: Value) -> Value:
    """Steps of a workflow of which one is this: wherever code may stand, its pods are held to the same."""
    before = {"name": "b", "wait": {"for": "1s"}}
    match rnd.choice(("plain", "group", "loop", "handler", "compensation", "finally")):
        case "group":
            return {"steps": [{"name": "b", "steps": [step], "output": "x"}]}
        case "loop":
            return {"steps": [{**step, "forEach": {"items": [1, 2]}}]}
        case "handler":
            return {"steps": [{**before, "onError": {"steps": [step]}}]}
        case "compensation":
            undo = {name: found for name, found in step.items() if name in (*ACTIONS, "timeout", "network")}
            return {"steps": [{**step, "name": "b", "compensate": undo}]}
        case "finally":
            return {"steps": [before], "finally": [step]}
    return {"steps": [step]}


def _granted(rnd: Random, runtime: Value) -> Value:
    """What a policy lists of what a Runtime wants: by chance alone they would hardly ever name the same."""
    selector = {key: [found] for key, found in (runtime.get("nodeSelector") or {}).items()}
    lists = {
        "imagePullSecrets": [item["name"] for item in runtime.get("imagePullSecrets") or ()],
        "nodeSelector": selector,
        "tolerations": runtime.get("tolerations") or [],
        "priorityClassNames": [runtime["priorityClassName"]] if "priorityClassName" in runtime else [],
    }
    return {field: listed for field, listed in lists.items() if listed and rnd.random() < 0.9}


def submissions(*, diverse: bool = False) -> st.SearchStrategy[Submission]:
    """Submissions that shrink, or `diverse` ones: by itself hypothesis prefers what is small."""
    return st.randoms(use_true_random=diverse).map(submission)


SITE = Site(
    namespace="citadel-sandboxes",
    runner_image="registry.example/citadel-runner:1",
    gateway_url="https://10.96.0.7:443",
    ca="-----BEGIN CERTIFICATE-----\n",
    user_namespaces=True,
    forbidden=("gateway-tripwire=10.96.0.7:8444",),
)
#: As RuntimeClasses of gVisor are to say: the sandbox mounts its own memory.
OWN_MOUNTS = replace(SITE, user_namespaces=False, own_mounts=True)
SYSTEM, TEAM = "citadel-system", "team"


class _Kube(KubeClient):
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


class _NoPast:
    """Nothing ran before."""

    async def of(self, namespace: str, workflow: str) -> list[Any]:
        raise AssertionError(workflow)

    async def document(self, namespace: str, workflow: str, revision: str) -> Any:
        raise AssertionError(revision)


def _object_of(kind: str, namespace: str, name: str, spec: Value) -> Value:
    metadata = {"name": name, "namespace": namespace, "uid": name, "generation": 1}
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def is_shared(pod: Value, submission: Submission) -> bool:
    """Whether a pod's image is the admin's: of the shared Runtime, and not one that a step names."""
    return submission.shared and "workingDir" not in pod["spec"]["containers"][1]


def _site(template: Mapping[str, Any]) -> Site:
    return OWN_MOUNTS if template.get("runtimeClassName") == "gvisor" else SITE


def pods(submission: Submission) -> list[Value]:
    """The pods that a submission comes to, as the controller makes them; raises Unusable where it refuses."""
    cache = Cache()
    cache.put(NAMESPACES, {"metadata": {"name": TEAM}})
    for number, spec in enumerate(submission.policies):
        cache.put(POLICIES_RESOURCE, _object_of("ExecutionPolicy", "", f"p{number}", spec))
    kube = _Kube(submission)
    live = Definitions(kube, Shelf(kube, SYSTEM), Policies(kube, cache, _NoTable()), _NoPast())
    plan = asyncio.run(live.pin(TEAM, "flow")).plan
    return [
        sandbox_pod(f"cx-{number}", f"{TEAM}/run", template, _site(template), "key")
        for number, template in enumerate(place.template for place in plan.placements.values())
    ]
