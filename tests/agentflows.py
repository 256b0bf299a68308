"""The examples of agents, and what each has to give: the same on this machine and on a cluster.

Their models answer by scripts; the tools that they call, and the servers that these ask, are real.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flows import EXAMPLES

#: What the Git server knows who asks by.
TOKEN = {"PRIVATE-TOKEN": "sesame"}


@dataclass(frozen=True)
class Server:
    """What an example's Tools ask."""

    host: str
    """Its name in the example; also that of its pod and its Service."""
    port: int
    script: str
    """Its file in the example's folder; run with a port."""
    image: str | None = None
    """The image that has it, by the name of hack/images/build; without it Python is enough."""

    @property
    def at(self) -> str:
        """Where the example's Tools look for it."""
        return f"{self.host}.localhost:{self.port}"


@dataclass(frozen=True)
class AgentFlow:
    """One run of an example."""

    example: str
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Values that are equal, or patterns that are found."""
    approvals: tuple[str, ...] = ()
    """Steps that ask people, who agree."""
    server: Server | None = None
    steps: tuple[str, ...] = ()
    """Instances of steps that have succeeded, among others."""

    def __str__(self) -> str:
        return self.example

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.example

    @property
    def inputs(self) -> dict[str, Any]:
        """Those of the example's own Execution."""
        run = self.folder / "run.yaml"
        return yaml.safe_load(run.read_text())["spec"]["inputs"] if run.exists() else {}

    def text(self, *names: str) -> str:
        """The example's files of these names that there are, one after another."""
        paths = [self.folder / f"{name}.yaml" for name in names]
        return "\n---\n".join(path.read_text() for path in paths if path.exists())

    def check(self, outputs: Mapping[str, Any]) -> None:
        """Whether a run gave what it has to."""
        for name, expected in self.outputs.items():
            found = outputs[name]
            same = expected.search(str(found)) if isinstance(expected, re.Pattern) else expected == found
            assert same, f"{name}: {found!r}"


GIT = Server("git", 8929, "image/server.py", "CITADEL_IMAGE_CODING_AGENT")
SITE = Server("site", 8931, "site.py")
CRM = Server("crm", 8930, "crm.py")
FLOWS = (
    AgentFlow("supervisor", {"text": re.compile("sixteen")}, steps=("brief.research[1].lookup[2]",)),
    AgentFlow("sequence", {"corrected": 2}),
    AgentFlow("vote", {"ship": True, "against": {"security": "The upload is not limited in size."}}),
    AgentFlow("hand-off", {"answer": re.compile("second one is on its way")}, steps=("desk[3].billing",)),
    AgentFlow("critic", {"slogan": "Kettles that know when to stop."}, steps=("slogan[2].criticise",)),
    AgentFlow("marketing", {"url": "/posts/2"}, ("ok",), SITE, steps=("draft[1].write.published[1]",)),
    AgentFlow("security-scan", {"compliant": False, "violations": 3}, steps=("comply.control[3]",)),
    AgentFlow("lead-pipeline", {"lead": 1, "score": 80, "followed": True}, server=CRM),
    AgentFlow(
        "dev-cycle",
        {"code": re.compile("unicodedata"), "deployed": re.compile("'share': 100")},
        ("deploy.roll_out.approve",),
        steps=("build[2].verify", "deploy.roll_out[2].call"),
    ),
    AgentFlow(
        "coding-agent",
        {"solved": True, "merge_request": 1},
        ("solve.merge_request.approve",),
        GIT,
        steps=("solve.run_tests[2]", "solve.merge_request[1].call"),
    ),
)


@contextmanager
def serving(server: Server | None, folder: Path) -> Iterator[int]:
    """A server of an example on this machine, while it is asked: its port, 0 where there is none."""
    if server is None:
        yield 0
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    option = ["--port"] if server.image else []
    env = os.environ | {"GIT_TOKEN": TOKEN["PRIVATE-TOKEN"]}
    process = subprocess.Popen(
        [sys.executable, str(folder / server.script), *option, str(port)], env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while process.poll() is None and not _listens(port):
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
