"""Who holds the key or session of one sandbox, and forges: each forgery has a twin, the rightful request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from build import chain, definition, python_step
from component.gateway.conftest import Site
from component.gateway.runner import Answer, Runner

OTHER_KEY = "b3RoZXIga2V5IG9mIGFub3RoZXIgcnVubmVyLCAzMiE="


@dataclass
class Scene:
    """Two executions of the same shape; in the first, two sandboxes at the same time."""

    mine: Runner
    sibling: Runner
    stranger: Runner
    site: Site

    def with_session(self, secret: str) -> Runner:
        """My connection, with another secret."""
        forged = self.mine.at(self.mine.url)
        forged.secret = secret
        return forged


async def post(scene: Scene, secret: str, path: str = "/v1/poll") -> Answer:
    return await scene.mine.post(path, Authorization=f"Bearer {secret}")


def tail(runner: Runner) -> str:
    return runner.secret.partition(".")[2]


async def registration(scene: Scene, **changes: str) -> Answer:
    sandbox = changes.pop("of", scene.stranger.sandbox)
    body = {"protocol": 1, "sandbox": sandbox, "key": f"key of {sandbox}", "version": "x"}
    return await scene.mine.post("/v1/register", body | {"publicKey": scene.mine.public_key} | changes)


Forge = Callable[[Scene], Awaitable[Answer]]
FORGERIES: dict[str, tuple[Forge, tuple[int, str], Forge]] = {
    "a session under the name of another sandbox": (
        lambda scene: post(scene, f"{scene.stranger.sandbox}.{tail(scene.mine)}"),
        (401, "InvalidSession"),
        lambda scene: post(scene, scene.stranger.secret),
    ),
    "a session that is nearly right": (
        lambda scene: post(scene, scene.stranger.secret[:-1]),
        (401, "InvalidSession"),
        lambda scene: post(scene, scene.stranger.secret),
    ),
    "a session after its sandbox has a name only": (
        lambda scene: post(scene, f"{scene.stranger.sandbox}."),
        (401, "InvalidSession"),
        lambda scene: post(scene, scene.stranger.secret),
    ),
    "the key of another sandbox": (
        lambda scene: registration(scene, key=f"key of {scene.mine.sandbox}"),
        (401, "InvalidKey"),
        lambda scene: registration(scene),
    ),
    "a key that has been used, for a public key of one's own": (
        lambda scene: registration(scene, publicKey=OTHER_KEY),
        (401, "Registered"),
        lambda scene: registration(scene),
    ),
    "a result of an attempt that has not begun": (
        lambda scene: scene.mine.succeed("a", attempt=2),
        (409, "Superseded"),
        lambda scene: scene.mine.succeed("a"),
    ),
    "a result of a step that runs in another sandbox": (
        lambda scene: scene.mine.succeed("b"),
        (409, "Superseded"),
        lambda scene: scene.sibling.succeed("b"),
    ),
    "a failure of a step that runs in another sandbox": (
        lambda scene: scene.mine.fail("b"),
        (409, "Superseded"),
        lambda scene: scene.sibling.fail("b"),
    ),
    "a result of a step that waits for it": (
        lambda scene: scene.mine.succeed("after"),
        (409, "Superseded"),
        lambda scene: scene.mine.succeed("a"),
    ),
    "a result of a step that does not exist": (
        lambda scene: scene.mine.succeed("nothing"),
        (409, "Superseded"),
        lambda scene: scene.mine.succeed("a"),
    ),
    "log lines of a step that runs in another sandbox": (
        lambda scene: scene.mine.log("b", "forged"),
        (409, "Superseded"),
        lambda scene: scene.sibling.log("b", "said"),
    ),
}


@pytest.fixture
async def scene(site: Site) -> Scene:
    steps = definition(
        python_step("a", isolation="step"),
        python_step("b", isolation="step", needs=[]),
        python_step("after", isolation="step", needs=["a"]),
    )
    names = await site.start(steps, "uid-1")
    found = {}
    for name in names:
        runner = await site.runner(name)
        found[(await runner.register()).step] = runner
    stranger = await site.registered(steps, "uid-2")
    return Scene(found["a"], found["b"], stranger, site)


@pytest.mark.parametrize("name", FORGERIES)
async def test_is_refused(scene: Scene, name: str) -> None:
    forge, refused, _ = FORGERIES[name]
    before = [await scene.site.state(uid) for uid in ("uid-1", "uid-2")]
    assert (await forge(scene)).refused == refused
    after = [await scene.site.state(uid) for uid in ("uid-1", "uid-2")]
    assert [state.steps for state in after] == [state.steps for state in before]


@pytest.mark.parametrize("name", FORGERIES)
async def test_its_twin_is_served(scene: Scene, name: str) -> None:
    assert (await FORGERIES[name][2](scene)).status == 200


async def test_a_result_that_is_sent_again_changes_nothing(site: Site) -> None:
    runner = await site.registered(chain(2))
    assert (await runner.succeed("s0", b"1")).body["recorded"] is True
    assert (await runner.succeed("s0", b"2")).body["recorded"] is False
    assert (await site.state()).steps["s0"].output is not None


async def test_a_session_ends_with_its_execution(site: Site) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.poll()).status == 200
    await runner.succeed("s0")
    assert (await runner.poll()).refused == (410, "NotWanted")
