"""Agents on this machine: the real loop, isolated as other steps, around Models and tools of a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Citadel = Callable[..., Any]
Write = Callable[..., str]

TEAM = """
apiVersion: citadel.dev/v1alpha1
kind: Model
metadata: {name: m}
spec:
  provider: scripted
  prices: {input: "1", output: "5"}
  script:
  - {system: You are the critic, text: Fine.}
  - {turn: 0, toolCalls: [{name: count, arguments: {text: ünï}}, {name: publish, arguments: {}}]}
  - {turn: 1, toolCalls: [{name: critic, arguments: {prompt: Judge.}}, {name: bill, arguments: {amount: 3}}]}
  - {turn: 2, toolCalls: [{name: bill, arguments: {amount: 9}}, {name: nope, arguments: {}}]}
  - {turn: 3, json: {done: true}}
---
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: writer}
spec:
  model: m
  systemFrom: {configMapKeyRef: {name: words, key: writer}}
  outputSchema: {type: object, required: [done]}
  tools:
  - {name: count, tool: count}
  - {name: publish, tool: publish, requireApproval: {approvers: {users: [ann]}}}
  - {name: critic, agent: critic}
  - {name: bill, tool: bill, constraints: [{rule: "args.amount < 5", message: at most 5}]}
---
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: critic}
spec: {model: m, system: You are the critic.}
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: count}
spec:
  description: Counts.
  parameters: {type: object, properties: {text: {type: string}}, required: [text]}
  code: {runtime: python, code: "def main(text): print('counting'); return len(text)"}
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: publish}
spec:
  description: Publishes.
  parameters: {type: object}
  code: {runtime: python, code: "def main(): return 'published'"}
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: bill}
spec: {description: Bills., workflow: {name: invoice}}
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: invoice}
spec:
  inputs: {type: object, properties: {amount: {type: number}}}
  steps: [{name: w, wait: {for: 0s}}]
  outputs: {got: "${inputs.amount}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {writer: You write.}
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: team}
spec:
  steps:
  - {name: write, agent: {name: writer, prompt: Go.}, timeout: 1m}
  - name: see
    switch:
      cases: [{when: "false", value: 0}]
      default:
        tools: "${steps.write.tools.map(tool, tool.name + ' ' + tool.status)}"
        usage: "${steps.write.usage}"
  outputs: {done: "${steps.write.output}", seen: "${steps.see.output}"}
"""
MODEL = """
---
apiVersion: citadel.dev/v1alpha1
kind: Model
metadata: {name: m}
spec: {provider: scripted, prices: {input: "1", output: "5"}, script: SCRIPT}
---
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: writer}
spec: {model: m AGENT}
"""
ASK = "- {name: write, agent: {name: writer, prompt: Go. MORE}, timeout: 1m STEP}\n"


TEXT = "[{text: x}]"


def _call_of(attempt: Any, tool: str) -> Any:
    """The recorded call of a tool: those of one turn come in no certain order."""
    return next(call for call in attempt["tools"] if call["tool"] == tool)


def an_agent(script: str, agent: str = "", **_: object) -> str:
    return MODEL.replace("SCRIPT", script).replace("AGENT", agent)


@pytest.fixture
def team(tmp_path: Path) -> str:
    (tmp_path / "team.yaml").write_text(TEAM)
    return "team.yaml"


@pytest.fixture
def recorded(citadel: Citadel, team: str) -> tuple[Any, Path]:
    """A run of the team, and its recording."""
    told = ("--approve", "write.publish.approve", "--logs", "--record", "run.json")
    return citadel("run", "--local", team, *told), Path("run.json")


def test_agents_tools_approvals_and_other_agents_run_as_in_a_cluster(recorded: Any, tmp_path: Path) -> None:
    done, file = recorded
    assert done.code == 0, done.stderr
    assert done.outputs["done"] == {"done": True}
    assert sorted(done.outputs["seen"]["tools"]) == [
        *("bill Failed", "bill Succeeded", "count Succeeded"),
        *("critic Succeeded", "nope Failed", "publish Succeeded"),
    ]
    usage = done.outputs["seen"]["usage"]
    # The critic asked once.
    assert usage["calls"] == 5
    assert usage["tokens"] == usage["inputTokens"] + usage["outputTokens"] > 0
    assert 0 < usage["cost"] < 0.01
    for line in (
        "write.count[1] | counting",
        "write | ← critic",
        "write.bill[1]/w: succeeded",
        "write.bill[2]: failed (ToolRefused: at most 5)",
        "write.refused[1]: failed (ToolNotAllowed:",
        "citadel: 2 attempts of agents in run.json",
    ):
        assert line in done.stderr
    assert (tmp_path / file).stat().st_mode & 0o077 == 0


def test_a_recording_is_replayed_without_any_model(citadel: Citadel, recorded: Any) -> None:
    done = citadel("replay", "run.json")
    assert done.code == 0, done.stderr + done.stdout
    assert "write: 4 model calls, 6 tool calls" in done.stdout
    assert "write.critic[1]: 1 model call, 0 tool calls" in done.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda attempt: attempt["agent"].update(system="You sing."),
            "model call 1: asks something else than the recorded one: messages[0].content, line 1: found",
        ),
        (
            lambda attempt: _call_of(attempt, "count").update(arguments={"text": "x"}),
            'count {"text": "ünï"}: arguments.text: found "ünï", expected "x"',
        ),
        (lambda attempt: attempt.update(output={"done": False}), "output.done: found true, expected false"),
        (
            lambda attempt: attempt["models"][1].update(digest="sha256:0", request=None),
            "model call 2: asks something else than the recorded one, sha256:0; prompts were not recorded",
        ),
    ],
)
def test_a_replay_names_the_first_call_that_differs_and_how(
    citadel: Citadel, recorded: Any, tmp_path: Path, change: Callable[[Any], None], told: str
) -> None:
    found = json.loads((tmp_path / "run.json").read_text())
    change(found["attempts"][0])
    (tmp_path / "run.json").write_text(json.dumps(found))
    done = citadel("replay", "run.json", "write")
    assert done.code == 1
    assert "ReplayMismatch: " in done.stdout
    assert told in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "found a list of 0 items, expected what `citadel record` writes"),
        ("{", "expected JSON, as `citadel record` writes it"),
        ('{"version": 7}', "version: found 7, expected at most 1: a later Citadel has recorded it"),
        ('{"version": 1}', "execution: missing, but required"),
    ],
)
def test_what_is_no_recording_is_told_why(citadel: Citadel, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "run.json").write_text(text)
    done = citadel("replay", "run.json")
    assert done.code == 2
    assert told in done.stderr


def test_a_call_that_nobody_approves_is_told_to_the_agent(citadel: Citadel, team: str) -> None:
    done = citadel("run", "--local", team, "--reject", "write.publish.approve=no", "--logs")
    assert done.code == 0, done.stderr
    assert "write | ✗ publish Rejected" in done.stderr
    assert "publish Failed" in done.outputs["seen"]["tools"]


def test_a_question_that_nobody_can_answer_is_how_it_ends(citadel: Citadel, team: str) -> None:
    done = citadel("run", "--local", team)
    assert done.code == 1
    assert "decide ahead: --approve write.publish[1].approve" in done.stderr


def test_an_agent_that_asks_too_often_or_for_too_much_ends(citadel: Citadel, workflow: Write) -> None:
    again = "[{toolCalls: [{name: nope, arguments: {}}]}]"
    step = ASK.replace("MORE", "").replace("STEP", ", retry: {attempts: 3}")
    done = citadel("run", "--local", workflow(step, after=an_agent(again, ", limits: {turns: 2}")))
    assert done.code == 1
    assert "TurnLimitExceeded" in done.stderr
    assert "attempt 2" not in done.stderr
    done = citadel("run", "--local", workflow(step, after=an_agent(again, ", limits: {toolCalls: 1}")))
    assert "ToolLimitExceeded" in done.stderr
    done = citadel("run", "--local", workflow(step, after=an_agent(again, ', budget: {cost: "0.00001"}')))
    assert "BudgetExceeded" in done.stderr
    assert "attempt 2" not in done.stderr


def test_an_agent_has_no_network_and_no_files_of_this_machine(citadel: Citadel, workflow: Write) -> None:
    tool = """
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: look}
spec:
  description: Looks.
  parameters: {type: object}
  code: {runtime: python, code: "import os; main = lambda: sorted(os.environ)"}
"""
    script = "[{turn: 0, toolCalls: [{name: look, arguments: {}}]}, {text: done}]"
    after = an_agent(script, ", tools: [{name: look, tool: look}]") + tool
    step = ASK.replace("MORE", "").replace("STEP", "")
    done = citadel("run", "--local", workflow(step, after=after), "--logs", ANTHROPIC_API_KEY="secret")
    assert done.code == 0, done.stderr
    assert "CITADEL_AGENT_URL" not in done.stderr
    assert "ANTHROPIC" not in done.stderr


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_it_runs_with_bubblewrap_and_without(citadel: Citadel, workflow: Write, isolation: str) -> None:
    step = ASK.replace("MORE", "").replace("STEP", "")
    file = workflow(step, spec='outputs: {x: "${steps.write.output}"}', after=an_agent("[{text: ünï}]"))
    done = citadel("run", "--local", file, "--isolation", isolation)
    assert (done.code, done.outputs) == (0, {"x": "ünï"}), done.stderr


def test_what_an_agent_remembers_is_told_in_the_next_step(citadel: Citadel, workflow: Write) -> None:
    script = "[{when: 'blue', text: You said blue.}, {turn: 1, text: 'I remember.'}, {text: 'Noted.'}]"
    steps = (
        '- {name: one, agent: {name: writer, prompt: "My colour is green.", conversation: c}}\n'
        '- {name: two, agent: {name: writer, prompt: "Which one?", conversation: c}}\n'
        '- {name: three, agent: {name: writer, prompt: "Which one?", conversation: other}}\n'
    )
    outputs = 'outputs: {all: "${[steps.one.output, steps.two.output, steps.three.output]}"}'
    file = workflow(steps, spec=outputs, after=an_agent(script, ", memory: {}"))
    done = citadel("run", "--local", file, "--record", "run.json")
    assert done.outputs == {"all": ["Noted.", "I remember.", "Noted."]}, done.stderr
    done = citadel("replay", "run.json")
    assert done.code == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("", "step write: Agent writer is not in this file; without a cluster, Agents come from the same"),
        (an_agent(TEXT, ", tools: [{name: t, tool: gone}]"), "Agent writer, tool t: Tool gone is not in"),
        (an_agent(TEXT, ", tools: [{name: t, agent: gone}]"), "Agent gone is not in this file"),
        (an_agent(TEXT).replace("model: m", "model: gone"), "Agent writer: Model gone is not in"),
        (an_agent(TEXT, ", tools: [{name: me, agent: writer}]"), "in a circle: writer > writer"),
        (
            an_agent(TEXT, ", systemFrom: {configMapKeyRef: {name: c, key: k}}"),
            "Agent writer, systemFrom: ConfigMap c is not in this file",
        ),
    ],
)
def test_what_an_agent_lacks_is_told_before_anything_runs(
    citadel: Citadel, workflow: Write, after: str, told: str
) -> None:
    done = citadel("run", "--local", workflow(ASK.replace("MORE", "").replace("STEP", ""), after=after))
    assert done.code == 2
    assert told in done.stderr
    assert "running" not in done.stderr


def test_without_langchain_one_line_says_what_to_install(
    citadel: Citadel, workflow: Write, tmp_path: Path
) -> None:
    # What is found first is no package.
    (tmp_path / "langchain").mkdir()
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'langchain' else found(name, package)\n"
    )
    import os

    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    file = workflow(ASK.replace("MORE", "").replace("STEP", ""), after=an_agent("[{text: x}]"))
    done = citadel("run", "--local", file, PYTHONPATH=path)
    assert done.code == 2
    assert "found no langchain: pip install 'citadel-workflows[agents]'" in done.stderr


def test_options_of_local_runs_mean_nothing_in_a_cluster(citadel: Citadel) -> None:
    assert "--record goes with --local" in citadel("run", "x", "--record", "f").stderr
    assert "found no folder" in citadel("run", "--local", "x.yaml", "--record", "no/such/f").stderr
