"""The command line of a container on this machine: what the step says, and what a sandbox is held to."""

from pathlib import Path

import pytest

from citadel.core.dispatch import Dispatch
from citadel.core.placing import Placement
from citadel.local.commands import command_of, options_of

FOLDER = Path("/tmp/citadel-7-abc")
TEMPLATE = {"image": "box", "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}


def given(*command: str, **env: str) -> Dispatch:
    return Dispatch("build", 2, 1, None, {}, {}, env, None, command=command)


def options(podman: bool = True, egress: tuple[str, ...] = (), **template: object) -> list[str]:
    placement = Placement("key/build", {**TEMPLATE, **template}, True, egress)
    return options_of(given("sh", A="x y=z"), placement, FOLDER, podman)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("$(A)", "step"),
        ("$(A)$(B)", "stepimage"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$step"),
        ("$(NONE)", "$(NONE)"),
        ("$(A", "$(A"),
        ("${A} $A $", "${A} $A $"),
        ("$(CITADEL_STEP) $(CITADEL_ATTEMPT) $(HOME)", "build 2 /work"),
    ],
)
def test_a_word_of_a_command_is_expanded_as_in_a_pod(word: str, meant: str) -> None:
    assert command_of(given("run", word, A="step"), {"A": "image", "B": "image"}) == ["run", meant]


def test_a_container_is_held_to_what_a_sandbox_is() -> None:
    found = options()
    assert {"--network=none", "--read-only", "--cap-drop=ALL", "--memory=67108864", "--init"} <= set(found)
    assert "--security-opt=no-new-privileges" in found
    assert found[found.index("--env") :].count("A=x y=z") == 1
    assert f"{FOLDER}/work:/work" in found


def test_only_a_step_that_names_destinations_has_a_network() -> None:
    assert not [option for option in options(egress=("example.org:443",)) if "network" in option]


def test_data_is_there_for_steps_whose_artifacts_stand_there() -> None:
    assert f"{FOLDER}/data:/data" not in options()
    assert f"{FOLDER}/data:/data" in options(data=True)


def test_docker_is_told_nothing_that_only_podman_knows() -> None:
    own = set(options(podman=True)) - set(options(podman=False))
    assert {option.partition("=")[0] for option in own} <= {
        "--read-only-tmpfs",
        "--http-proxy",
        "--userns",
        "--user",
    }
