"""Packages from an index into a step, in all four ecosystems: the install is a step like any other."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from citadel.installers import source
from citadel.render.packages import ARTIFACT, STEP
from component.runtimes.compiled import Builds
from component.runtimes.conftest import Site, opened
from packagetrees import Trees, served

#: Of each language: its ecosystem, and a step that uses the packages.
STEPS = {
    "python": ("pip", "import alpha\ndef main(): return alpha.TEXT"),
    "javascript": ("npm", "import alpha from 'alpha';\nexport default () => alpha"),
    "go": (
        "go",
        'package main\n\nimport "example.com/alpha"\n\nfunc Main() string { return alpha.Text() }\n',
    ),
    "java": ("maven", "class One { static Object main() { return alpha.Alpha.text(); } }"),
}
JAVA = 'package alpha; public class Alpha { public static String text() { return "hello"; } }'
GO = 'package alpha\n\nimport "example.com/Beta"\n\nfunc Text() string { return beta.Hello }\n'
BETA = 'package beta\n\nconst Hello = "hello"\n'


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A compiled class alpha.Alpha."""
    folder = tmp_path_factory.mktemp("java")
    (folder / "Alpha.java").write_text(JAVA)
    subprocess.run(["javac", "-d", folder, folder / "Alpha.java"], check=True)
    return (folder / "alpha" / "Alpha.class").read_bytes()


@pytest.fixture
def index(tmp_path: Path, classes: bytes) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """A file server that has packages, and the lines that pin them, by language."""
    trees = Trees(tmp_path)
    lines = {
        "python": [
            trees.wheel("alpha", "1.0", {"alpha.py": "from beta import TEXT"}, "beta==2"),
            trees.wheel("beta", "2", {"beta.py": "TEXT = 'hello'"}),
        ],
        "javascript": [
            trees.tarball(
                "alpha", "1.0.0", {"index.js": "module.exports = require('@x/beta')"},
                dependencies={"@x/beta": "^2.0.0"},
            ),
            trees.tarball("@x/beta", "2.0.0", {"index.js": "module.exports = 'hello'"}),
        ],
        "go": [
            trees.module("example.com/alpha", "v1.0.0", {"alpha.go": GO}),
            trees.module("example.com/Beta", "v2.0.0", {"beta.go": BETA}),
        ],
        "java": [trees.jar("com.acme", "alpha", "1.0", {"alpha/Alpha.class": classes})],
    }  # fmt: skip
    with served(tmp_path) as url:
        yield url, lines


async def installed(site: Site, ecosystem: str, lines: list[str], url: str) -> Any:
    """The tree that an install leaves, in a sandbox like any other."""
    await site.language("python", scratch="size=256m")
    result = await site.gateway.run(
        STEP,
        code=source(ecosystem),
        input={"packages": lines, "index": f"{url}/{ecosystem}", "ca": ""},
        artifacts={"in": [], "out": [{"name": ARTIFACT, "path": "/work/packages"}]},
    )
    assert result.outcome == "Succeeded", (result.body, await site.gateway.log(STEP))
    return site.gateway.blobs[site.gateway.artifacts[STEP, ARTIFACT]["digest"]]


@pytest.mark.parametrize("language", STEPS)
async def test_what_an_install_leaves_is_what_steps_use(
    language: str, site: Site, builds: Builds, index: tuple[str, dict[str, list[str]]]
) -> None:
    url, lines = index
    ecosystem, code = STEPS[language]
    async with opened(site.binaries, site.tls) as other:
        site.gateway.packages = await installed(other, ecosystem, lines[language], url)
    # As the image has a link to them beside its harness.
    link = site.binaries / "node_modules"
    if not link.is_symlink():
        link.symlink_to("/dev/shm/packages/node_modules")
    if language in ("go", "java"):
        async with opened(site.binaries, site.tls) as other:
            other.gateway.packages = site.gateway.packages
            await other.language(language, scratch="size=256m")
            await other.gateway.assign("use.build", action="build", language=language, code=code)
            built = await other.gateway.result("use.build", seconds=60)
            assert built.outcome == "Succeeded", built.body
            program = other.gateway.artifacts["use.build", "program"]["digest"]
            builds.known[language, code] = other.gateway.blobs[program]
    await site.language(language, scratch="size=256m")
    for step in ("first", "second"):
        result = await site.gateway.run(step, language=language, code=code)
        assert (result.outcome, result.body, result.next) == ("Succeeded", "hello", True)
