"""Reading definitions live, and pinning what an execution needs of them."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.meta import AGENTS_ANNOTATION
from citadel.api.reasons import Reason
from citadel.api.runtime import RuntimeSpec
from citadel.api.step import Step
from citadel.api.workflow import WorkflowSpec
from citadel.controller.agents import Agents
from citadel.controller.checking import (
    NOT_FOUND_GRACE,
    Unusable,
    check_steps,
    checked,
    read_runtime,
    runtime_names,
)
from citadel.controller.images import image_ids
from citadel.controller.images import pinned as pinned_spec
from citadel.controller.installs import NotInstalled, RuntimePackages, installed, owner_of, packages_of
from citadel.controller.pinning import Used, used_by
from citadel.controller.policies import Policies
from citadel.controller.shelf import Shelf
from citadel.controller.timeouts import with_timeouts
from citadel.core.jsonvalues import canonical, digest
from citadel.core.placing import Given, InvalidDefinition, place, runtime_template
from citadel.core.plan import Plan, compile_definition, compile_workflow
from citadel.core.policy import (
    Policy,
    runtime_class,
    runtime_denial,
    smallest_limits,
    with_class,
)
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import CONFIGMAPS, RUNTIMES, WORKFLOWS, Object
from citadel.render.packages import Indexes
from citadel.store.revisions import NoRevision, Revisions

#: Seconds for which an install of packages is waited for; it ends before that, with or without success.
INSTALL_GRACE = 3600.0
_PLANS = 256


@dataclass(frozen=True)
class Pinned:
    """A definition as an execution keeps it."""

    document: Mapping[str, Any]
    plan: Plan


class Definitions:
    """Workflows, Runtimes and code as they are in the cluster now."""

    def __init__(
        self,
        kube: KubeClient,
        shelf: Shelf,
        policies: Policies,
        revisions: Revisions,
        indexes: Indexes | None = None,
        agents: Agents | None = None,
    ) -> None:
        self._kube, self._agents = kube, agents
        self._revisions = revisions
        self._shelf, self._shared = shelf, shelf.shared
        self._policies = policies
        self._indexes = indexes or Indexes()
        self._plans: OrderedDict[tuple[str, ...], Pinned] = OrderedDict()

    async def pin(self, namespace: str, name: str) -> Pinned:
        """The workflow with everything it refers to; raises Unusable."""
        try:
            workflow = await self._kube.get(WORKFLOWS, name, namespace)
        except NotFound:
            message = f"Workflow {name} does not exist in namespace {namespace}"
            raise Unusable(Reason.WORKFLOW_NOT_FOUND, message, waits=True) from None
        spec = checked(workflow)
        used = await self.used(namespace, spec)
        names = {*runtime_names(spec), *used.runtimes}
        runtimes = {name: await self.runtime(namespace, name) for name in sorted(names)}
        packages = await self.packages(workflow, spec, runtimes)
        versions = tuple(
            f"{item['metadata']['uid']}/{item['metadata'].get('generation', 0)}"
            for item in (workflow, *runtimes.values())
        )
        policies = await self._policies.of(namespace)
        default_class = runtime_class(policies)
        images = image_ids(runtimes)
        limits = smallest_limits(policies)
        versions += (repr(sorted(limits.items())), default_class or "", packages.digest, *images.values())
        versions += tuple(str(packages.spec(item)["image"]) for item in runtimes.values())
        if used.document:
            versions += (digest(canonical(used.document)),)
        has_code_from = any(step.run is not None and step.run.code_from for _, step in spec.every_step())
        if not has_code_from and versions in self._plans:
            self._plans.move_to_end(versions)
            pinned = self._plans[versions]
            check_steps(policies, namespace, name, pinned.plan.steps, pinned.plan.placements)
            return pinned
        document = {
            "spec": with_timeouts(workflow["spec"], limits.get("timeout")),
            "runtimes": {name: packages.spec(item) for name, item in runtimes.items()},
            "code": await self._code(namespace, spec),
            "shared": self._shared_names(runtimes),
            **used.document,
            **({"runtimeClassName": default_class} if default_class else {}),
            **({"limits": limits} if limits else {}),
            **({"images": images} if images else {}),
            **({"packages": packages.found} if packages.found else {}),
            **({"index": packages.index} if packages.index else {}),
        }
        try:
            pinned = Pinned(document, compile_definition(document))
        except InvalidDefinition as error:
            raise Unusable(Reason.INVALID_SPEC, f"Workflow {name}: {error}"[:1024], waits=False) from None
        check_steps(policies, namespace, name, pinned.plan.steps, pinned.plan.placements)
        if not has_code_from:
            self._plans[versions] = pinned
            while len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        return pinned

    async def pin_revision(self, namespace: str, name: str, revision: str) -> Pinned:
        """The workflow as an earlier execution pinned it; today's policies hold. Raises Unusable."""
        try:
            _, document = await self._revisions.document(namespace, name, revision)
        except NoRevision as error:
            raise Unusable(Reason.REVISION_NOT_FOUND, str(error), waits=False) from None
        try:
            pinned = Pinned(document, compile_definition(document))
        except InvalidDefinition as error:
            message = f"Workflow {name}, revision {revision}: {error}"
            raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=False) from None
        policies = await self._policies.of(namespace)
        check_steps(policies, namespace, name, pinned.plan.steps, pinned.plan.placements)
        return pinned

    async def runtime(self, namespace: str, name: str, *, fresh: bool = False) -> Object:
        """The Runtime of this namespace, else the shared one; raises Unusable. `fresh`: as it is now."""
        for here in dict.fromkeys((namespace, self._shared)):
            found = await self._shelf.recent(RUNTIMES, here, name, fresh=fresh)
            if found is None:
                continue
            read_runtime(found)
            return found
        message = f"Runtime {name} exists neither in namespace {namespace} nor in {self._shared}"
        raise Unusable(Reason.RUNTIME_NOT_FOUND, message, waits=True)

    async def used(self, namespace: str, spec: WorkflowSpec) -> Used:
        """The agents and tools that a workflow uses; raises Unusable."""
        steps = [step for _, step in spec.every_step() if isinstance(step, Step)]
        if self._agents is None or not any(step.agent or step.tool for step in steps):
            return Used()
        return await used_by(self._agents, namespace, spec)

    async def permitted(
        self, namespace: str, workflow: Object, runtimes: Mapping[str, Object], index: str | None
    ) -> None:
        """Raises Unusable for a workflow that the policies of its namespace would not let start."""
        policies = await self._policies.of(namespace)
        spec, specs = checked(workflow), {name: read_runtime(item) for name, item in runtimes.items()}
        given = Given(frozenset(self._shared_names(runtimes)), runtime_class(policies), index=index)
        steps = compile_workflow(spec).steps
        placements = {name: place(step, specs, given) for name, step in steps.items() if step.sandboxed}
        check_steps(policies, namespace, workflow["metadata"]["name"], steps, placements)

    async def packages(
        self, workflow: Object, spec: WorkflowSpec, runtimes: Mapping[str, Object]
    ) -> RuntimePackages:
        """Where the packages of a workflow's Runtimes are; raises Unusable."""
        owner = owner_of(workflow)
        runtime = None
        if owner is not None:
            runtime = await self._shelf.recent(RUNTIMES, workflow["metadata"]["namespace"], owner[0])
        try:
            return packages_of(workflow, spec, runtimes, runtime, self._indexes)
        except NotInstalled as problem:
            grace = INSTALL_GRACE if problem.reason == Reason.INSTALLING_PACKAGES else NOT_FOUND_GRACE
            raise Unusable(problem.reason, problem.message[:2048], waits=True, grace=grace) from None

    async def policies(self, namespace: str) -> tuple[Policy, ...]:
        """The policies of a namespace."""
        return await self._policies.of(namespace)

    async def warm_template(self, runtime: Object) -> dict[str, Any]:
        """What the pods of a Runtime's pool are made of, as those of steps that use it; raises Unusable."""
        spec, shared, name = read_runtime(runtime), self.is_shared(runtime), runtime["metadata"]["name"]
        policies = () if shared else await self._policies.of(runtime["metadata"]["namespace"])
        denial = runtime_denial(policies, spec, shared=shared)
        if denial is not None:
            raise Unusable(Reason.POLICY_DENIED, f"Runtime {name}: {denial.text}"[:1024], waits=True)
        try:
            packages = installed(runtime, spec, self._indexes)
        except NotInstalled as problem:
            raise Unusable(problem.reason, problem.message[:1024], waits=True) from None
        as_seen = RuntimeSpec.model_validate(pinned_spec(runtime))
        return with_class(runtime_template(as_seen, packages=packages), policies)

    def warm_extras(self, runtime: Object) -> dict[str, Any]:
        """What a template says beside what makes its pods alike, or not."""
        extras = {"shared": True} if self.is_shared(runtime) else {}
        if (runtime["metadata"].get("annotations") or {}).get(AGENTS_ANNOTATION) == "true":
            extras["agent"] = True
        return {**extras, **({"imageId": found} if (found := image_ids({"": runtime}).get("")) else {})}

    def is_shared(self, runtime: Object) -> bool:
        """Whether a Runtime is the admin's own, for all namespaces."""
        return bool(runtime["metadata"]["namespace"] == self._shared)

    def home(self, scope: str) -> str:
        """The namespace of Runtimes whose pools serve this namespace, or, if it is empty, all."""
        return scope or self._shared

    def _shared_names(self, runtimes: Mapping[str, Object]) -> list[str]:
        return sorted(name for name, item in runtimes.items() if self.is_shared(item))

    async def _code(self, namespace: str, spec: WorkflowSpec) -> dict[str, str]:
        code: dict[str, str] = {}
        for path, step in spec.every_step():
            if step.run is None or step.run.code_from is None:
                continue
            ref = step.run.code_from.config_map_key_ref
            where = f"step {path}, run.codeFrom"
            try:
                data = (await self._kube.get(CONFIGMAPS, ref.name, namespace)).get("data") or {}
            except NotFound:
                message = f"{where}: ConfigMap {ref.name} does not exist in namespace {namespace}"
                raise Unusable(Reason.CODE_NOT_FOUND, message, waits=True) from None
            except Forbidden:
                message = f"{where}: Citadel may not read ConfigMaps of namespace {namespace}"
                raise Unusable(Reason.CODE_NOT_FOUND, message, waits=True) from None
            if ref.key not in data:
                message = f"{where}: ConfigMap {ref.name} of namespace {namespace} has no key {ref.key}"
                raise Unusable(Reason.CODE_NOT_FOUND, message, waits=True)
            code[path] = data[ref.key]
        return code
