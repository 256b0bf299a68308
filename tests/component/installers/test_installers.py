"""What runs in a sandbox to install packages, against indexes that are plain trees of files."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from citadel.installers import source
from packagetrees import Trees, served

MARK = "was here"
WRONG = "0" * 64


class Install:
    """An index, and a place to install to, as a sandbox has it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.index, self._url, self._folder = Trees(folder / "index"), url, folder
        (folder / "work").mkdir()

    def __call__(self, ecosystem: str, *packages: str, index: str | None = None) -> str:
        """What a successful install printed."""
        done = self._run(ecosystem, packages, index)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def fails(self, ecosystem: str, *packages: str, index: str | None = None) -> str:
        """What a failed install printed."""
        done = self._run(ecosystem, packages, index)
        assert done.returncode == 1, done.stdout
        return done.stdout

    def _run(
        self, ecosystem: str, packages: tuple[str, ...], index: str | None
    ) -> subprocess.CompletedProcess[str]:
        given = json.dumps({"packages": packages, "index": index or f"{self._url}/{ecosystem}"})
        code = f"{source(ecosystem)}\n\nimport json\nmain(**json.loads({given!r}))\n"
        (self._folder / "tmp").mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self._folder / "work",
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self._folder / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def file(self, path: str) -> Path:
        """A file of what was installed."""
        return self._folder / "work" / "packages" / path

    @property
    def files(self) -> set[str]:
        """All of them."""
        root = self._folder / "work" / "packages"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    (tmp_path / "index").mkdir()
    with served(tmp_path / "index") as url:
        yield Install(tmp_path, url)


def test_wheels_are_importable_and_compiled(install: Install) -> None:
    first = install.index.wheel(
        "alpha", "1.0", {"alpha.py": "import beta; VALUE = beta.VALUE + 1"}, "beta>=2"
    )
    second = install.index.wheel("beta", "2.1", {"beta.py": "VALUE = 1"})
    install("pip", first, second)
    code = "import alpha; assert alpha.VALUE == 2; print(alpha.__spec__.cached)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PYTHONPATH": str(install.file("python"))},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.decode().strip()).exists()


def test_a_dependency_that_is_not_listed_is_named_by_pip(install: Install) -> None:
    line = install.index.wheel("alpha", "1.0", {"alpha.py": ""}, "beta>=2")
    install.index.wheel("beta", "2.1", {"beta.py": ""})
    assert "beta" in install.fails("pip", line)


def test_a_wheel_with_another_hash_is_refused(install: Install) -> None:
    line = install.index.wheel("alpha", "1.0", {"alpha.py": ""})
    said = install.fails("pip", line.partition("sha256:")[0] + f"sha256:{WRONG}")
    assert "HASH" in said.upper()
    assert install.files == set()


def test_a_wheel_that_is_missing_is_named(install: Install) -> None:
    assert "gamma==3.0" in install.fails("pip", f"gamma==3.0 --hash=sha256:{WRONG}")


def test_packages_of_npm_are_found_by_node_and_their_scripts_never_run(
    install: Install, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    scripts = {"preinstall": f"touch {mark}", "install": f"touch {mark}", "postinstall": f"touch {mark}"}
    first = install.index.tarball(
        "alpha", "1.0.0", {"index.js": "module.exports = require('@x/beta') + 1"},
        scripts=scripts, dependencies={"@x/beta": "^2.0.0", "fsevents": "*"},
        optionalDependencies={"fsevents": "*"},
    )  # fmt: skip
    second = install.index.tarball("@x/beta", "2.1.0", {"index.js": "module.exports = 1"})
    install("npm", first, second)
    assert install.files == {
        "node_modules/alpha/index.js",
        "node_modules/alpha/package.json",
        "node_modules/@x/beta/index.js",
        "node_modules/@x/beta/package.json",
    }
    assert not mark.exists()


def test_a_dependency_that_is_not_listed_is_named_for_npm(install: Install) -> None:
    line = install.index.tarball("alpha", "1.0.0", {}, dependencies={"beta": "^2.0.0"})
    said = install.fails("npm", line)
    assert "alpha@1.0.0 needs beta, which is not listed in packages.npm" in said


def test_a_tarball_with_another_integrity_is_refused(install: Install) -> None:
    install.index.tarball("alpha", "1.0.0", {})
    said = install.fails("npm", f"alpha@1.0.0 sha512-{'A' * 86}==")
    assert "alpha@1.0.0: found a tarball with integrity sha512-" in said


def test_a_version_that_the_registry_does_not_have_is_named(install: Install) -> None:
    install.index.tarball("alpha", "1.0.0", {})
    said = install.fails("npm", f"alpha@1.0.1 sha512-{'A' * 86}==")
    assert "alpha: the index has no version 1.0.1" in said


@pytest.mark.parametrize("name", ["../outside.js", "a/../../outside.js", "/outside.js"])
def test_no_file_of_a_tarball_leaves_its_package(install: Install, name: str) -> None:
    line = install.index.tarball("alpha", "1.0.0", {name: "x"})
    assert "expected a path inside the package" in install.fails("npm", line)
    assert not install.file("outside.js").exists()


def test_go_modules_become_a_vendor_folder(install: Install) -> None:
    files = {"a.go": "package a", "a_test.go": "package a", "sub/s.go": "package sub", "LICENSE": "free"}
    line = install.index.module("example.com/Big/a", "v1.2.0", {**files, "testdata/x.go": "package x"})
    install("go", line)
    assert install.files == {
        "go.require",
        "vendor/modules.txt",
        *(f"vendor/example.com/Big/a/{name}" for name in ("go.mod", "a.go", "sub/s.go", "LICENSE")),
    }
    assert install.file("go.require").read_text() == "example.com/Big/a v1.2.0\n"
    assert install.file("vendor/modules.txt").read_text() == (
        "# example.com/Big/a v1.2.0\n## explicit; go 1.21\nexample.com/Big/a\nexample.com/Big/a/sub\n"
    )


def test_a_module_with_another_sum_is_refused(install: Install) -> None:
    install.index.module("example.com/a", "v1.2.0", {"a.go": "package a"})
    said = install.fails("go", f"example.com/a@v1.2.0 h1:{'b' * 43}=")
    assert "example.com/a@v1.2.0: found a zip with the sum h1:" in said


def test_jars_are_taken_by_their_digest(install: Install) -> None:
    line = install.index.jar("com.acme", "lib", "1.0", {"com/acme/Lib.class": "x"})
    install("maven", line)
    assert install.files == {"jars/com.acme-lib-1.0.jar"}


def test_a_jar_with_another_digest_is_refused(install: Install) -> None:
    install.index.jar("com.acme", "lib", "1.0", {})
    said = install.fails("maven", f"com.acme:lib:1.0 sha256:{WRONG}")
    assert f"expected sha256:{WRONG}" in said


def test_a_jar_that_its_pom_needs_is_named(install: Install) -> None:
    needs = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId>{}</dependency>"
    listed = [
        needs.format("${project.groupId}", "core", ""),
        needs.format("org.junit", "junit", "<scope>test</scope>"),
        needs.format("org.other", "extra", "<optional>true</optional>"),
    ]
    pom = f'<project xmlns="urn:pom"><dependencies>{"".join(listed)}</dependencies></project>'
    line = install.index.jar("com.acme", "lib", "1.0", {"META-INF/maven/com.acme/lib/pom.xml": pom})
    said = install.fails("maven", line)
    assert "com.acme:lib:1.0 needs com.acme:core, which is not listed in packages.maven" in said
    assert "junit" not in said


@pytest.mark.parametrize(
    ("ecosystem", "line"),
    [
        ("npm", f"gone@1.0.0 sha512-{'A' * 86}=="),
        ("go", f"example.com/gone@v1.0.0 h1:{'b' * 43}="),
        ("maven", f"com.acme:gone:1.0 sha256:{WRONG}"),
    ],
)
def test_what_the_index_does_not_have_is_named_with_its_address(
    install: Install, ecosystem: str, line: str
) -> None:
    said = install.fails(ecosystem, line)
    assert "gone" in said
    assert "the index answers 404" in said


def test_an_index_that_is_not_there_is_tried_again_and_then_named(install: Install) -> None:
    said = install.fails("maven", f"com.acme:lib:1.0 sha256:{WRONG}", index="http://127.0.0.1:1/x")
    assert "the index cannot be reached" in said
    assert "attempt 3 of 3" in said
