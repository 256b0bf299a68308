"""Packages of a Runtime in a sandbox: there before the first step, the same for each, nobody's to change."""

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from component.runtimes.compiled import Builds
from component.runtimes.conftest import Site
from component.runtimes.gateway import Gateway

USE = "import greeting\ndef main(): return greeting.TEXT"
FILE = "os.environ['CITADEL_PACKAGES'] + '/python/greeting.py'"


def packed(**modules: str) -> bytes:
    """A tree of Python modules, as an install leaves it."""
    return tree({f"python/{name}.py": text.encode() for name, text in modules.items()})


def tree(files: Mapping[str, bytes]) -> bytes:
    """A tree, as an install leaves it."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size, item.mode = len(content), 0o644
            archive.addfile(item, io.BytesIO(content))
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


async def build(site: Site, language: str, code: str) -> Any:
    """The program that a sandbox with the packages makes of a step, or its failure."""
    await site.language(language, scratch="size=256m")
    await site.gateway.assign("load.build", action="build", language=language, code=code)
    result = await site.gateway.result("load.build", seconds=60)
    if result.outcome == "Failed":
        return result.body
    return site.gateway.blobs[site.gateway.artifacts["load.build", "program"]["digest"]]


MODULES = """# example.com/greet v1.0.0
## explicit; go 1.21
example.com/greet
example.com/greet/internal/words
# example.com/needy v1.0.0
## explicit; go 1.21
example.com/needy
"""
GO = """package main

import "example.com/%s"

func Main() string { return %s.Text() }
"""


def vendored() -> bytes:
    greet = """package greet

import (
	"strings"

	"example.com/greet/internal/words"
)

func Text() string { return strings.ToUpper(words.Hello) }
"""
    return tree(
        {
            "vendor/modules.txt": MODULES.encode(),
            "vendor/example.com/greet/greet.go": greet.encode(),
            "vendor/example.com/greet/other_windows.go": b"package greet\n\nvar broken int = windows\n",
            "vendor/example.com/greet/internal/words/words.go": b'package words\n\nconst Hello = "hello"\n',
            "vendor/example.com/needy/needy.go": (
                b'package needy\n\nimport "example.com/absent"\n\nfunc Text() string { return absent.X }\n'
            ),
        }
    )


async def test_a_step_in_go_is_built_with_the_modules_of_its_runtime(site: Site, builds: Builds) -> None:
    site.gateway.packages = vendored()
    code = GO % ("greet", "greet")
    program = await build(site, "go", code)
    assert isinstance(program, bytes), program
    builds.known["go", code] = program
    assert (await site.gateway.run("load", language="go", code=code)).output == "HELLO"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("needy", "package example.com/needy needs example.com/absent, which is not listed in packages.go"),
        ("absent", 'import "example.com/absent": neither the standard library nor the Runtime has it'),
        ("greet/internal/words", 'import "example.com/greet/internal/words": neither the standard library'),
    ],
)
async def test_what_go_does_not_find_is_named(site: Site, name: str, says: str) -> None:
    site.gateway.packages = vendored()
    failure = await build(site, "go", GO % (name, name.rpartition("/")[2]))
    assert failure["reason"] == "InvalidCode"
    assert says in failure["message"]


@pytest.fixture
def jar(tmp_path: Path) -> bytes:
    """A jar with the class greet.Greet."""
    source = tmp_path / "Greet.java"
    source.write_text('package greet; public class Greet { public static String text() { return "hello"; } }')
    subprocess.run(["javac", "-d", tmp_path / "out", source], check=True)
    subprocess.run(["jar", "-c", "-f", tmp_path / "greet.jar", "-C", tmp_path / "out", "."], check=True)
    return (tmp_path / "greet.jar").read_bytes()


async def test_a_step_in_java_is_built_and_run_with_the_jars_of_its_runtime(
    site: Site, builds: Builds, jar: bytes
) -> None:
    site.gateway.packages = tree({"jars/example-greet-1.0.jar": jar})
    code = "class One { static Object main() { return greet.Greet.text(); } }"
    program = await build(site, "java", code)
    assert isinstance(program, bytes), program
    builds.known["java", code] = program
    assert (await site.gateway.run("load", language="java", code=code)).output == "hello"
