"""An evaluation, carried out on this machine."""

from dataclasses import replace

from citadel.api.loader import load
from citadel.api.validate import parse
from citadel.core.jsonvalues import Json
from citadel.core.plan import compile_workflow
from citadel.local.assembling import RUNS, agent_of, items_of, workflow_of
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.evaluations import EvaluationDocument
from citadel.local.execution import Observer
from citadel.local.machine import Machine
from citadel.local.means import in_memory
from citadel.local.outcomes import Outcome, outcomes
from citadel.local.outside import Outside
from citadel.local.pinning import resolve
from citadel.local.runner import LocalRun
from citadel.local.start import CannotRun, begin
from citadel.local.tools import Tools
from citadel.store.journal import json_of
from citadel.store.memory import MemoryJournal


def prepared(document: EvaluationDocument, tools: Tools) -> tuple[Contents, WorkflowDocument]:
    """The objects of an evaluation with its Workflow, and that; raises CannotRun."""
    evaluation, value = document.evaluation, workflow_of(document)
    agents = dict(document.contents.agents)
    if evaluation.agent not in agents:
        named = ", ".join(agents) or "none"
        raise CannotRun(
            f"agent: Agent {evaluation.agent} is in none of the files in objects, which have: {named}"
        )
    if evaluation.model is not None:
        agents[agent_of(document)] = agents[evaluation.agent].model_copy(update={"model": evaluation.model})
    spec = parse("Workflow", value)
    (written,) = load("{}")
    workflow = WorkflowDocument(value["metadata"]["name"], spec, compile_workflow(spec), written)
    workflows = {**document.contents.workflows, workflow.name: workflow}
    contents = replace(document.contents, workflows=workflows, agents=agents)
    if problems := resolve(contents):
        raise CannotRun(*(problem.text for problem in problems))
    workflow = contents.workflows[workflow.name]
    begin(workflow, contents, {}, tools=tools)
    return contents, workflow


async def evaluate(
    document: EvaluationDocument,
    contents: Contents,
    workflow: WorkflowDocument,
    machine: Machine,
    observer: Observer,
    network: bool,
) -> list[Outcome]:
    """What came of each run; raises CannotRun."""
    journal = MemoryJournal()
    start = begin(workflow, contents, {}, tools=machine.tools)
    means = in_memory(journal, contents, network=network)
    run = LocalRun(journal, observer, contents, (workflow.name,), means, Outside(machine=machine))
    state = await run.run(start)
    names = [str(item["name"]) for item in items_of(document)]
    runs: list[Json] = []
    for number in range(len(names)):
        step = state.steps.get(f"{RUNS}[{number}]")
        output = None if step is None or step.output is None else step.output
        runs.append(None if output is None else await json_of(journal, start.created.uid, output))
    return outcomes(document, names, runs)
