"""What ExecutionPolicies say of one sandbox. Pure; the controller and the gateway ask the same questions.

Every policy that selects a namespace must permit: a denial of one is final, and of limits the smallest holds.
One that cannot be understood permits nothing. Without any policy nothing is refused but what has to be
granted (grants.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import quantity, seconds
from citadel.api.egress import split
from citadel.api.policy import ExecutionPolicySpec, ImageRules, LabelRequirement, NamespaceSelector
from citadel.api.problems import shortened
from citadel.api.runtime import RuntimeSpec
from citadel.api.validate import InvalidObject, parse
from citadel.core import grants
from citadel.core.egress import EgressRules, judge

DEFAULT_REGISTRY = "docker.io"
#: The same registry under other names; its short images have a folder of their own.
_REGISTRY_ALIASES = {"index.docker.io": DEFAULT_REGISTRY, "registry-1.docker.io": DEFAULT_REGISTRY}


@dataclass(frozen=True)
class Policy:
    """One ExecutionPolicy: its spec, or why there is none."""

    name: str
    spec: ExecutionPolicySpec | None
    broken: str = ""
    selector: NamespaceSelector | None = None
    """Namespaces that it holds for; None: all, as not even that can be read."""


@dataclass(frozen=True)
class Denial:
    """What a policy does not permit."""

    policy: str
    """Its name; empty: no policy grants what only one could."""
    rule: str
    """Field of the policy."""
    field: str
    """What is refused."""
    message: str
    """What was found and what was expected."""

    @property
    def text(self) -> str:
        """`image: found "alpine:3", expected … (ExecutionPolicy strict, spec.images.allow)`."""
        said = f"{self.field}: {self.message}"
        return f"{said} (ExecutionPolicy {self.policy}, {self.rule})" if self.policy else said


def read_policy(obj: Mapping[str, Any]) -> Policy:
    """The policy that an object states; a broken one where it does not fit its kind.

    A broken one holds where its selector says; where that cannot be read either, everywhere.
    """
    name = obj["metadata"]["name"]
    try:
        spec = parse("ExecutionPolicy", dict(obj))
    except InvalidObject as error:
        return Policy(name, None, error.message, _selector_alone(obj))
    return Policy(name, spec, "", spec.namespace_selector)


def _selector_alone(obj: Mapping[str, Any]) -> NamespaceSelector | None:
    spec = obj.get("spec")
    selector = spec.get("namespaceSelector", {}) if isinstance(spec, dict) else None
    try:
        return parse("ExecutionPolicy", {**obj, "spec": {"namespaceSelector": selector}}).namespace_selector
    except InvalidObject:
        return None


def applying(policies: Iterable[Policy], labels: Mapping[str, str]) -> tuple[Policy, ...]:
    """The policies that hold for a namespace with these labels, by name."""
    found = (item for item in policies if item.selector is None or selects(item.selector, labels))
    return tuple(sorted(found, key=lambda policy: policy.name))


def selects(selector: NamespaceSelector, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels is meant."""
    exact = all(labels.get(key) == value for key, value in selector.match_labels.items())
    return exact and all(_fits(item, labels) for item in selector.match_expressions)


def _fits(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def sandbox_denial(policies: Sequence[Policy], template: Mapping[str, Any]) -> Denial | None:
    """Why no sandbox may be made by this template, or go on working; None if it may."""
    for policy in policies:
        if policy.spec is None:
            return _broken(policy)
        for rule, field, message in _objections(policy.spec, template):
            return Denial(policy.name, rule, field, message)
    specs = [(policy.name, policy.spec) for policy in policies if policy.spec is not None]
    return next((Denial(*found) for found in grants.objections(specs, template)), None)


def runtime_denial(policies: Sequence[Policy], runtime: RuntimeSpec, *, shared: bool) -> Denial | None:
    """Why a Runtime cannot be used in a namespace, whatever step uses it."""
    template = runtime.model_dump(by_alias=True, exclude_none=True, mode="json")
    return sandbox_denial(policies, with_class(template | {"shared": shared}, policies))


def timeout_denial(policies: Sequence[Policy], timeout: str | None) -> Denial | None:
    """Why no attempt of a step with this timeout may run; a step without one gets the smallest limit."""
    for policy in policies:
        most = policy.spec.limits.timeout if policy.spec is not None else None
        if most and timeout and seconds(timeout) > seconds(most):
            return Denial(
                policy.name, "spec.limits.timeout", "timeout", f"found {timeout}, expected at most {most}"
            )
    return None


def step_denial(
    policies: Sequence[Policy],
    namespace: str,
    template: Mapping[str, Any],
    egress: Iterable[str],
    timeout: str | None,
) -> str | None:
    """Why no attempt of a step may run in a namespace; None if one may."""
    denial = sandbox_denial(policies, template) or timeout_denial(policies, timeout)
    return egress_denial(policies, namespace, egress) if denial is None else denial.text


def smallest_limits(policies: Sequence[Policy]) -> dict[str, str]:
    """The smallest of each limit, for what Citadel itself adds to a workflow."""
    found: dict[str, str] = {}
    for policy in policies:
        stated = policy.spec.limits.model_dump(exclude_none=True) if policy.spec is not None else {}
        for amount, most in stated.items():
            size = seconds if amount == "timeout" else quantity
            found[amount] = min((most, found.get(amount, most)), key=size)
    return found


def runtime_class(policies: Sequence[Policy]) -> str | None:
    """The RuntimeClass of sandboxes whose Runtime names none."""
    return next((p.spec.runtime_class.name for p in policies if p.spec and p.spec.runtime_class.name), None)


def with_class(template: Mapping[str, Any], policies: Sequence[Policy]) -> dict[str, Any]:
    """The template with the RuntimeClass that it gets here."""
    name = template.get("runtimeClassName") or runtime_class(policies)
    return {**template, "runtimeClassName": name} if name else dict(template)


def egress_rules(policies: Sequence[Policy]) -> list[EgressRules]:
    """What the policies say of egress; one that cannot be understood allows nothing."""
    return [
        EgressRules(policy.name, ())
        if policy.spec is None
        else EgressRules(
            policy.name, policy.spec.egress.allow, policy.spec.egress.deny, policy.spec.private_destinations
        )
        for policy in policies
    ]


def egress_denial(policies: Sequence[Policy], namespace: str, egress: Iterable[str]) -> str | None:
    """Why a step may not name these destinations; None if it may."""
    rules = egress_rules(policies)
    for destination in egress:
        verdict = judge(rules, namespace, *split(destination))
        if not verdict.allowed:
            return f"network.egress: found {destination!r}, but {verdict.reason}"
    return None


def isolation_required(policies: Sequence[Policy]) -> bool:
    """Whether a sandbox gets work only once its isolation is proven."""
    return any(policy.spec is None or policy.spec.isolation.required for policy in policies)


def prompts_recorded(policies: Sequence[Policy]) -> bool:
    """Whether what agents ask models is kept."""
    return any(policy.spec is not None and policy.spec.record_prompts for policy in policies)


def _broken(policy: Policy) -> Denial:
    return Denial(policy.name, "spec", "policy", f"found one that cannot be understood: {policy.broken}")


def _objections(spec: ExecutionPolicySpec, template: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Rule, field and message of everything that a policy refuses in a template."""
    # A shared Runtime is the admin's own, with whatever image it has.
    if not template.get("shared"):
        yield from _image_objections(spec.images, template["image"])
    rules = spec.runtime_class
    allowed = rules.allowed if rules.allowed is not None else (rules.name,) if rules.name else None
    name = template.get("runtimeClassName")
    if allowed is not None and name not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "a policy that allows one"
        rule = "allowed" if rules.allowed is not None else "name"
        yield f"spec.runtimeClass.{rule}", "runtimeClassName", f"found {name or 'none'}, expected {expected}"
    limits = template.get("resources", {}).get("limits", {})
    for field, most, found in (
        ("resources.limits.cpu", spec.limits.cpu, limits.get("cpu")),
        ("resources.limits.memory", spec.limits.memory, limits.get("memory")),
        ("scratch", spec.limits.scratch, template.get("scratch")),
    ):
        if most and found and quantity(found) > quantity(most):
            rule = field.rpartition(".")[2]
            yield f"spec.limits.{rule}", field, f"found {found}, expected at most {most}"
    pool = template.get("pool") or {}
    if spec.pools is not None and not template.get("shared") and pool.get("max", 0) > spec.pools.max:
        yield "spec.pools.max", "pool.max", f"found {pool['max']}, expected at most {spec.pools.max}"


def _image_objections(rules: ImageRules, image: str) -> Iterator[tuple[str, str, str]]:
    for prefix in rules.deny:
        if is_below(image, prefix):
            yield "spec.images.deny", "image", f"found {shortened(image)}, expected none below {prefix}"
    if rules.allow is not None and not any(is_below(image, prefix) for prefix in rules.allow):
        expected = ", ".join(rules.allow[:5]) or "nothing at all"
        yield "spec.images.allow", "image", f"found {shortened(image)}, expected one below {expected}"


def is_below(image: str, prefix: str) -> bool:
    """Whether an image's full reference begins with a prefix, and has a border there."""
    full = full_reference(image)
    # docker.io/alpine is an image and docker.io/team a folder: nobody can tell which is meant.
    for meant in {_on_one_host(prefix), full_reference(prefix)}:
        border = full[len(meant) : len(meant) + 1]
        if full.startswith(meant) and (meant.endswith(("/", ":", "@")) or border in ("", "/", ":", "@")):
            return True
    return False


def full_reference(image: str) -> str:
    """An image's reference as a node reads it: with its registry, in the one spelling of that."""
    host, _, path = _on_one_host(image).partition("/")
    if host == DEFAULT_REGISTRY and path and "/" not in path:
        path = f"library/{path}"
    return f"{host}/{path}"


def _on_one_host(image: str) -> str:
    """The reference with its registry: a first part that cannot be a folder, else the default one."""
    first, slash, rest = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    host, path = (first.lower(), rest) if named else (DEFAULT_REGISTRY, image)
    host = host.removesuffix(":443")
    return f"{_REGISTRY_ALIASES.get(host, host)}/{path}"
