"""The examples of agents on this machine, without a cluster and any key, against servers that run here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from agentflows import FLOWS, TOKEN, AgentFlow, serving
from component.local.conftest import Citadel


def told(url: str) -> object:
    with urlopen(Request(url, headers=TOKEN)) as answer:
        return json.load(answer)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_an_example_of_agents_does_here_what_it_has_to(
    flow: AgentFlow, tmp_path: Path, citadel: Citadel
) -> None:
    with serving(flow.server, flow.folder) as port:
        text = flow.text("models", "agents", "workflow", "run")
        if flow.server is not None:
            assert flow.server.at in text
            text = text.replace(flow.server.at, f"{flow.server.host}.localhost:{port}")
        (tmp_path / "example.yaml").write_text(text)
        agreed = [word for step in flow.approvals for word in ("--approve", step)]
        network = ["--allow-network"] if flow.server is not None else []
        done = citadel("run", "--local", "example.yaml", *agreed, *network, "--logs")
        assert done.code == 0, done.stderr
        flow.check(done.outputs)
        if flow.example == "coding-agent":
            _the_change_is_on_its_branch(port, tmp_path)
        if flow.example == "lead-pipeline":
            (lead,) = told(f"http://127.0.0.1:{port}/leads")
            assert [mail["subject"] for mail in lead["mails"]] == ["Your forty machines"]
        if flow.example == "marketing":
            assert told(f"http://127.0.0.1:{port}/posts/2")["headline"] == "Your tea, still warm"


def _the_change_is_on_its_branch(port: int, folder: Path) -> None:
    """What the agent committed is what its tests passed on, and was told where it has to be."""
    api = f"http://127.0.0.1:{port}/api/v4/projects/1"
    (request,) = told(f"{api}/merge_requests")
    assert (request["source_branch"], request["target_branch"]) == ("agent/issue-1", "main")
    (note,) = told(f"{api}/issues/1/notes")
    assert re.match("An agent has opened !1: ", note["body"])
    address = f"http://x:sesame@127.0.0.1:{port}/team/till.git"
    subprocess.run(["git", "clone", "-q", "-b", "agent/issue-1", address, "till"], cwd=folder, check=True)
    tests = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=folder / "till", capture_output=True, text=True
    )
    assert "Ran 4 tests" in tests.stderr
    assert tests.returncode == 0, tests.stderr
