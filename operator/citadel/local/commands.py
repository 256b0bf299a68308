"""The command line of a container step on this machine, from what the step says and where its files lie.

It says what the pod of a cluster's sandbox says. It asks this machine only who its user is.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from citadel.api.durations import quantity
from citadel.core.dispatch import Dispatch
from citadel.core.placing import Placement
from citadel.local.engine import LABEL

#: As in a cluster.
UID = 65533
INPUT, OUTPUT = "citadel-input.json", "citadel-output.json"
_VARIABLE = re.compile(r"\$\$|\$\(([^)]*)\)")


def options_of(given: Dispatch, placement: Placement, folder: Path, podman: bool) -> list[str]:
    """Options of `create`. `folder` is the container's own, and gives it its name."""
    template = placement.template
    memory = str(int(quantity(template["resources"]["limits"]["memory"])))
    options = [
        f"--name={folder.name}",
        f"--label={LABEL}",
        "--pull=never",
        "--log-driver=none",
        "--workdir=/work",
    ]
    # `label`: where SELinux rules, a container may not open files of this machine's user.
    options += ["--security-opt=no-new-privileges", "--security-opt=label=disable", "--cap-drop=ALL"]
    options += ["--init", "--read-only", f"--memory={memory}", f"--memory-swap={memory}", *_user(podman)]
    if podman:
        options += ["--read-only-tmpfs=false", "--http-proxy=false"]
    if not placement.egress:
        options.append("--network=none")
    for name in ("work", "tmp", *(["data"] if template.get("data") else [])):
        options += ["--volume", f"{folder / name}:/{name}"]
    for name, value in environment_of(given).items():
        options += ["--env", f"{name}={value}"]
    return options


def _user(podman: bool) -> list[str]:
    """Who the command is. What it leaves has to be this user's, who is to remove it."""
    if os.geteuid() == 0:
        return [f"--user={UID}:{UID}"]
    if podman:
        return [f"--user={UID}:{UID}", f"--userns=keep-id:uid={UID},gid={UID}"]
    return [f"--user={os.geteuid()}:{os.getegid()}"]


def environment_of(given: Dispatch) -> dict[str, str]:
    """What is set for the command besides what the image brings."""
    return {
        "HOME": "/work",
        **given.env,
        "CITADEL_STEP": given.step,
        "CITADEL_ATTEMPT": str(given.attempt),
        "CITADEL_INPUT": f"/tmp/{INPUT}",  # noqa: S108
        "CITADEL_OUTPUT": f"/tmp/{OUTPUT}",  # noqa: S108
    }


def command_of(given: Dispatch, variables: Mapping[str, str]) -> list[str]:
    """Program and arguments: `$(NAME)` is a variable, `$$` a literal `$`, as in a Pod."""
    known = {**variables, **environment_of(given)}

    def put(found: re.Match[str]) -> str:
        return "$" if found[1] is None else known.get(found[1], found[0])

    return [_VARIABLE.sub(put, word) for word in given.command]
