"""The corpus in sandboxes: the attacks of a shelf are the steps of one execution, one after another."""

from collections.abc import Mapping
from typing import Any

from hostile.corpus import Case
from hostile.driver import command, step_source
from live import Cluster, foreign_image, python

#: How an attempt may end that its sandbox ended: the limit was what held it.
ENDED = ("OOMKilled", "Error")


async def ship(cluster: Cluster, cases: list[Case]) -> None:
    """The sources of the shelves, as ConfigMaps."""
    for shelf in {case.shelf for case in cases if case.language != "container"}:
        case = next(case for case in cases if case.shelf == shelf)
        await cluster.config_map(f"attacks-{shelf}", main=step_source(case))


def steps_of(case: Case) -> list[dict[str, Any]]:
    """The steps of one case, the last of which bears its name."""
    source = {"configMapKeyRef": {"name": f"attacks-{case.shelf}", "key": "main"}}
    return [
        {
            "name": case.name if function == case.attack else f"{case.name}_before",
            "run": {"runtime": case.language, "codeFrom": source},
            "with": {"attack": function, "facts": "${inputs.facts}"},
            "timeout": "90s",
        }
        for function in case.functions
    ]


async def run_shelf(
    cluster: Cluster, cases: list[Case], facts: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """What each case got, or what held it."""
    if cases[0].language == "container":
        return await run_command(cluster, cases, facts)
    name = cases[0].shelf
    steps = [step for case in cases for step in steps_of(case)]
    outputs = {case.name: f"${{steps.{case.name}.output}}" for case in cases}
    inputs = {"type": "object", "properties": {"facts": {"type": "object"}}}
    await cluster.workflow(name, steps, inputs=inputs, outputs=outputs)
    status = await cluster.run(name, 300, inputs={"facts": dict(facts)})
    assert status["phase"] == "Succeeded", f"{name}: {status}"
    return dict(status["outputs"])


async def run_command(
    cluster: Cluster, cases: list[Case], facts: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """All commands of an image in one step: it has a sandbox of its own."""
    gather = "jq -sc 'map({(.[0]): .[1]}) | add' /tmp/results > $CITADEL_OUTPUT"
    script = f"{{\n{command(cases)}}} > /tmp/results; {gather}"
    container = {
        "image": foreign_image(),
        "command": ["bash", "-c", script],
        "env": [{"name": "NODE", "value": str(facts["node"])}],
    }
    name = "container"
    await cluster.workflow(
        name, [{"name": "ask", "container": container}], outputs={"all": "${steps.ask.output}"}
    )
    status = await cluster.run(name, 120)
    assert status["phase"] == "Succeeded", f"{name}: {status}"
    return dict(status["outputs"]["all"])


async def run_alone(cluster: Cluster, case: Case, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a case that may take its sandbox along."""
    name = case.name.replace("_", "-")
    inputs = {"type": "object", "properties": {"facts": {"type": "object"}}}
    outputs = {case.name: f"${{steps.{case.name}.output}}"}
    await cluster.workflow(name, steps_of(case), inputs=inputs, outputs=outputs)
    status = await cluster.run(name, 180, inputs={"facts": dict(facts)})
    if status["phase"] == "Succeeded":
        return dict(status["outputs"])
    assert status["reason"] in ENDED, f"{case.sentence}: {status}"
    return {case.name: {"held": f"{status['reason']}: {status['message']}"}}


async def kernel(cluster: Cluster) -> str:
    """What calls itself the kernel in a sandbox."""
    code = "def main(): return open('/proc/version').read()"
    await cluster.workflow("version", [python("ask", code)], outputs={"version": "${steps.ask.output}"})
    status = await cluster.run("version", 120)
    assert status["phase"] == "Succeeded", status
    return str(status["outputs"]["version"])
