"""Steps that run a command of an image: what is theirs alone. The rest is in tests/conformance."""

import pytest

from component.runtimes.gateway import Gateway

Env = list[dict[str, str]]


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


async def test_its_environment_is_the_images_and_the_steps(container: Gateway) -> None:
    script = 'echo "$FROM_IMAGE $A $CITADEL_STEP $CITADEL_ATTEMPT"; [ "$HOME" = "$PWD" ] && ls -A; '
    script += "env | grep -c _DIR="
    env = [{"name": "A", "value": "$(FROM_IMAGE) stays"}, {"name": "CITADEL_STEP", "value": "forged"}]
    result = await container.run("see", 2, command=sh(script + "; true"), env=env)
    assert result.output is None
    assert await container.log("see", 2) == "yes $(FROM_IMAGE) stays see 2\n0\n"


async def test_names_are_expanded_as_in_a_pod(container: Gateway) -> None:
    env = [{"name": "A", "value": "alpha"}]
    args = ["$(A)", "x$(A)y", "$$(A)", "$(NONE)", "$A", "$(A", "100$", "$$$$"]
    await container.run("expand", command=["printf", "%s|"], args=args, env=env)
    assert await container.log("expand") == "alpha|xalphay|$(A)|$(NONE)|$A|$(A|100$|$$|"


@pytest.mark.parametrize(
    ("name", "command", "reason", "message"),
    [
        ("term", sh("kill -TERM $$$$"), "Error", "killed by SIGTERM"),
        ("missing", ["nosuchcommand"], "Error", 'command "nosuchcommand" cannot be run: not found in PATH='),
        ("nofile", ["/no/such"], "Error", 'command "/no/such" cannot be run: no such file in the image'),
        (
            "denied",
            ["/etc/passwd"],
            "Error",
            'command "/etc/passwd" cannot be run: execute /etc/passwd: permission',
        ),
        ("directory", ["/etc"], "Error", 'command "/etc" cannot be run: is a directory'),
        (
            "big",
            sh('head -c 2000000 /dev/zero > "$CITADEL_OUTPUT"'),
            "OutputTooLarge",
            "the output is 2000000 bytes of JSON, at most 1048576 are allowed",
        ),
        ("fifo", sh('mkfifo "$CITADEL_OUTPUT"'), "InvalidOutput", "is not a regular file"),
        ("place", sh('mkdir "$CITADEL_OUTPUT"'), "InvalidOutput", "is not a regular file"),
    ],
)
async def test_failures_say_what_is_wrong(
    container: Gateway, name: str, command: list[str], reason: str, message: str
) -> None:
    failure = (await container.run(name, command=command)).failure
    assert failure["reason"] == reason
    assert message in failure["message"]
    assert (await container.run("after", command=["true"])).output is None


async def test_the_exit_code_and_the_last_lines_come_along(container: Gateway) -> None:
    failure = (await container.run("one", command=sh("seq 1000; echo problem >&2; exit 41"))).failure
    assert failure["exitCode"] == 41
    assert "problem" in failure["logTail"]
    assert "1000" in failure["logTail"]
    assert len(failure["logTail"]) <= 2048


async def test_a_step_that_deletes_every_file_it_can_harms_nobody(container: Gateway) -> None:
    script = "echo 1 > keep; rm -rf -- / --no-preserve-root 2>/dev/null; echo gone"
    assert (await container.run("vandal", command=sh(script))).outcome == "Succeeded"
    result = await container.run("next", command=sh('cp "$CITADEL_INPUT" "$CITADEL_OUTPUT"'), input={"a": 1})
    assert result.output == {"a": 1}


async def test_a_sandbox_says_what_it_cannot_run(container: Gateway) -> None:
    failure = (await container.run("code", code="def main(): pass")).failure
    assert failure["message"] == "this sandbox has no language runtime, so it cannot run code"
    failure = (await container.run("empty", command=[])).failure
    assert "has no command" in failure["message"]
    assert failure["reason"] == "Error"
