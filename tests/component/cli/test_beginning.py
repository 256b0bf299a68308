"""`citadel init`, `completion`, `schema`: what a newcomer and a shell need; the names that are proposed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from citadel.api.approval import EXECUTION_LABEL
from citadel.render.approval import label_value
from component.cli.conftest import Cli


async def test_what_init_writes_has_no_problem_and_runs(cli: Cli) -> None:
    code, out, err = await cli.run("init", str(cli.folder / "2024 My Words"))
    assert code == 0, err
    assert [Path(line).name for line in out.splitlines()] == [
        "workflow.yaml",
        "run.yaml",
        "test.yaml",
        "citadel.schema.json",
    ]
    new = cli.folder / "2024 My Words"
    files = [str(new / name) for name in ("workflow.yaml", "run.yaml")]
    assert await cli.run("lint", *files) == (0, "", "no problem in 2 files\n")
    assert '\n  name: "2024-my-words"\n' in (new / "workflow.yaml").read_text()
    code, out, err = await cli.run("run", "--local", files[0], "-i", "text=to be or to see")
    assert code == 0, err
    assert json.loads(out) == {"words": {"to": 2, "be": 1, "or": 1, "see": 1}, "longest": "see"}
    code, out, err = await cli.run("test", str(new))
    assert code == 0, out + err
    assert "2 passed" in out


async def test_init_overwrites_nothing(cli: Cli) -> None:
    (cli.folder / "run.yaml").write_text("mine")
    code, out, err = await cli.run("init", str(cli.folder))
    assert (code, out) == (2, "")
    assert f"{cli.folder}/run.yaml exists already; nothing was written" in err
    assert (cli.folder / "run.yaml").read_text() == "mine"
    assert not (cli.folder / "workflow.yaml").exists()


async def test_init_refuses_a_name_that_no_object_can_have(cli: Cli) -> None:
    code, _, err = await cli.run("init", str(cli.folder / "new"), "--name", "Not_This")
    assert code == 2
    assert "--name: found 'Not_This', expected a name of at most 253 lower-case letters" in err
    assert not (cli.folder / "new").exists()


async def test_the_schema_is_the_one_that_init_writes(cli: Cli) -> None:
    _, out, _ = await cli.run("schema")
    await cli.run("init", str(cli.folder / "new"))
    assert out == (cli.folder / "new/citadel.schema.json").read_text()


async def proposals(cli: Cli, *words: str, sure: bool = False) -> list[str]:
    """What bash proposes for the last of these words; where it is `sure` that there is something, within some
    tries: nobody waits long for a machine that stands still."""
    for _ in range(5):
        if (found := await _proposals(cli, *words)) or not sure:
            return found
    return []


async def _proposals(cli: Cli, *words: str) -> list[str]:
    line = "\n".join(["citadel", *words])
    env = {"_CITADEL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    code, out, err = await cli.run(env=env)
    assert (code, err) == (0, "")
    found = [row.partition(",") for row in out.splitlines() if row]
    return [text if kind == "plain" else f"any {kind}" for kind, _, text in found]


@pytest.fixture
async def full(cli: Cli) -> Cli:
    """A cluster with two workflows, and executions of one."""
    handler = {"steps": [{"name": "ask", "wait": {"signal": "answer"}}]}
    steps: list[dict[str, Any]] = [
        {"name": "load", "steps": [{"name": "paid", "wait": {"signal": "payment"}}]},
        {"name": "look", "onError": handler},
        {"name": "tell", "wait": {"for": "1h"}},
    ]
    spec = {"steps": steps, "finally": [{"name": "last"}]}
    for name in ("sales", "stock"):
        await cli.put("Workflow", "workflows", name, spec, {})
    approval = {"executionRef": {"name": "sales-1"}, "step": "ok[2]", "approvers": {"users": ["jane"]}}
    await cli.put("Approval", "approvals", "sales-1-ok", approval, {"phase": "Pending"})
    label = cli.objects("approvals")[0]["metadata"].setdefault("labels", {})
    label[EXECUTION_LABEL] = label_value("sales-1")
    cli.citadel.revisions = {"8c0d2f61a9e4aa": {}, "1f7be03d55c2bb": {}}
    cli.citadel.archived = {"sales-0": {"metadata": {"name": "sales-0", "creationTimestamp": "2026"}}}
    for name in ("sales-1", "sales-2", "stock-1"):
        await cli.execution(name, phase="Running", steps=[{"name": "look[3]"}])
    return cli


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sche"], ["schema"]),
        (["get", "sal"], ["sales-1", "sales-2"]),
        (["logs", "-f", "st"], ["stock-1"]),
        (["cancel", "-n", "elsewhere", ""], []),
        (["logs", "sales-1", "--step", "l"], ["load", "look", "last", "look[3]"]),
        (["watch", "sales"], ["sales-1", "sales-2"]),
        (["watch", "--archived", "sal"], ["sales-0"]),
        (["watch", "--ga"], ["--gantt"]),
        (["rerun", "st"], ["stock-1"]),
        (["rerun", "sales-1", "--from", "lo"], ["load", "look", "look[3]"]),
        (["approve", ""], ["sales-1"]),
        (["reject", "sal"], ["sales-1"]),
        (["approve", "sales-1", ""], ["ok[2]"]),
        (["reject", "sales-2", ""], []),
        (["approvals", "s"], ["sales-1"]),
        (["signal", "stock-1", ""], ["payment", "answer"]),
        (["signal", "stock-1", "pay"], ["payment"]),
        (["history", "s"], ["sales", "stock"]),
        (["diff", "sal"], ["sales"]),
        (["diff", "sales", ""], ["8c0d2f61a9e4", "1f7be03d55c2"]),
        (["diff", "sales", "8c0d2f61a9e4", "1"], ["1f7be03d55c2"]),
        (["run", "sales", "--revision", "8"], ["8c0d2f61a9e4"]),
        (["lint", "wor"], ["any file"]),
        (["test", ""], ["any file"]),
        (["approve", "sales-1", "-f", ""], ["any file"]),
        (["connections", "st"], ["stock-1"]),
        (["get", "sales-9", "--outputs", "--step", ""], []),
        (["run", "st"], ["stock"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["get", "--out"], ["--output", "--outputs"]),
    ],
    ids=lambda value: " ".join(value),
)
async def test_names_are_proposed(full: Cli, words: list[str], expected: list[str]) -> None:
    assert await proposals(full, *words, sure=bool(expected)) == expected


async def test_without_a_cluster_nothing_is_proposed_and_nothing_is_said(cli: Cli) -> None:
    (cli.folder / "config").unlink()
    assert await proposals(cli, "get", "") == []


async def test_the_script_for_bash_completes_in_a_real_bash(full: Cli) -> None:
    _, script, _ = await full.run("completion", "bash")
    (full.folder / "script").write_text(script)
    call = "COMP_WORDS=(citadel get sales-); COMP_CWORD=2; _citadel_completion citadel; echo ${COMPREPLY[@]}"
    (full.folder / "bash").write_text(
        f"PATH={Path(sys.executable).parent}:$PATH; . {full.folder}/script; {call}"
    )
    done = await full.run_program("/bin/bash", str(full.folder / "bash"))
    assert done == (0, "sales-1 sales-2\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_get_a_script_of_their_own(cli: Cli, shell: str) -> None:
    code, out, err = await cli.run("completion", shell)
    assert (code, err) == (0, "")
    assert f"_CITADEL_COMPLETE={shell}_complete" in out


async def test_kubectl_gets_proposals_in_its_own_form(full: Cli) -> None:
    ask = "from citadel.cli.completion import for_kubectl; for_kubectl()"

    async def asked(*words: str) -> Any:
        return (await full.run_program(sys.executable, "-c", ask, *words))[1].splitlines()

    assert await asked("get", "stock") == ["stock-1\tRunning", ":4"]
    assert await asked("run", "none-begins-so") == [":0"]


def test_the_entry_point_for_kubectl_has_the_name_that_kubectl_looks_for() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["kubectl_complete-citadel"] == "citadel.cli.completion:for_kubectl"


def test_listing_the_commands_for_a_shell_imports_none_of_them() -> None:
    code = (
        "import sys, click; from citadel.cli.group import main\n"
        "assert main.shell_complete(click.Context(main), 'r')\n"
        "sys.exit(any(name.startswith('citadel.cli.r') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
