"""Packages of a Runtime in a sandbox: there before the first step, the same for each, nobody's to change."""

import io
import tarfile

import pytest

from component.runtimes.conftest import Site
from component.runtimes.gateway import Gateway

USE = "import greeting\ndef main(): return greeting.TEXT"
FILE = "os.environ['CITADEL_PACKAGES'] + '/python/greeting.py'"


def packed(**files: str) -> bytes:
    """A tree of Python modules, as an install leaves it."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for name, text in files.items():
            item = tarfile.TarInfo(f"python/{name}.py")
            item.size, item.mode = len(text.encode()), 0o644
            archive.addfile(item, io.BytesIO(text.encode()))
    return body.getvalue()


@pytest.fixture
async def python(site: Site) -> Gateway:
    """The gateway of a sandbox whose Runtime has a package."""
    site.gateway.packages = packed(greeting="TEXT = 'hello'")
    await site.language("python", scratch="size=16m")
    return site.gateway


async def test_every_step_imports_them(python: Gateway) -> None:
    assert (await python.run("first", code=USE)).output == "hello"
    assert (await python.run("second", code=USE)).output == "hello"
    assert python.results["second", 1].next


async def test_they_come_before_a_sandbox_that_waits_has_work(site: Site) -> None:
    site.gateway.packages = packed(greeting="TEXT = 'hello'", big="#" * 1_000_000)
    await site.language("python", scratch="size=16m")
    await site.gateway.until(lambda: site.gateway.public_key)
    assert (await site.gateway.run("late", code=USE)).output == "hello"


async def test_a_step_cannot_write_to_them(python: Gateway) -> None:
    code = f"import os\ndef main():\n open({FILE}, 'a')"
    assert "PermissionError" in (await python.run("writes", code=code)).failure["message"]
    assert python.results["writes", 1].next  # nothing was changed


@pytest.mark.parametrize(
    "change",
    [
        f"os.chmod({FILE}, 0o644); open({FILE}, 'w').write('TEXT = 666'); os.chmod({FILE}, 0o444)",
        f"d = os.path.dirname({FILE}); os.chmod(d, 0o755); open(d + '/json.py', 'w'); os.chmod(d, 0o555)",
        "p = os.environ['CITADEL_PACKAGES']; os.rename(p, p + '2'); os.rename(p + '2', p)",
    ],
)
async def test_who_changes_them_is_the_last_step_of_its_sandbox(python: Gateway, change: str) -> None:
    result = await python.run("evil", code=f"import os\ndef main():\n {change}\n return 1")
    assert result.output == 1
    assert not result.next


async def test_without_room_for_them_the_step_fails_and_says_what_to_change(site: Site) -> None:
    site.gateway.packages = packed(greeting="#" * 3_000_000)
    await site.language("python", scratch="size=2m")
    result = await site.gateway.run("first", code=USE)
    assert "its spec.scratch must be larger" in result.failure["message"]
    assert not result.next


async def test_a_directory_that_a_step_names_like_theirs_does_not_outlive_it(site: Site) -> None:
    await site.language("python", scratch="size=16m")
    make = "import os\ndef main():\n p = os.environ['CITADEL_PACKAGES']; os.mkdir(p); return os.listdir(p)"
    assert (await site.gateway.run("first", code=make)).output == []
    assert (await site.gateway.run("second", code=make)).output == []
