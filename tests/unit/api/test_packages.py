"""Packages of a Runtime: one exact version and its hash a line, each package once, of one ecosystem alone."""

from typing import Any

import pytest

from citadel.api.packages import read
from citadel.api.validate import problems

HEX, SHA512, H1 = "0a" * 32, f"sha512-{'A' * 86}==", f"h1:{'b' * 43}="
GOOD = {
    "pip": f"requests-oauthlib==2.0.0 --hash=sha256:{HEX} --hash=sha256:{HEX}",
    "npm": f"@types/node@22.1.0 {SHA512}",
    "go": f"example.com/Big/toml@v1.4.0 {H1}",
    "maven": f"com.fasterxml.jackson.core:jackson-core:2.17.1 sha256:{HEX}",
}


def texts(language: str, **packages: list[str]) -> list[str]:
    spec: dict[str, Any] = {"image": "i", "language": language, "packages": packages}
    found = problems(
        "Runtime",
        {"apiVersion": "citadel.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "r"}, "spec": spec},
    )
    return [problem.text for problem in found]


@pytest.mark.parametrize(
    ("ecosystem", "name", "version", "hashes"),
    [
        ("pip", "requests-oauthlib", "2.0.0", (f"sha256:{HEX}",) * 2),
        ("npm", "@types/node", "22.1.0", (SHA512,)),
        ("go", "example.com/Big/toml", "v1.4.0", (H1,)),
        ("maven", "com.fasterxml.jackson.core:jackson-core", "2.17.1", (f"sha256:{HEX}",)),
    ],
)
def test_a_line_names_a_package_its_version_and_its_hashes(
    ecosystem: str, name: str, version: str, hashes: tuple[str, ...]
) -> None:
    found = read(ecosystem, GOOD[ecosystem])
    assert (found.name, found.version, found.hashes) == (name, version, hashes)


@pytest.mark.parametrize(
    ("ecosystem", "line"),
    [
        ("pip", "requests"),
        ("pip", "requests==2.0"),
        ("pip", f"requests>=2.0 --hash=sha256:{HEX}"),
        ("pip", f"requests==2.* --hash=sha256:{HEX}"),
        ("pip", f"requests==2.0 --hash=md5:{HEX}"),
        ("pip", f"requests==2.0 --hash=sha256:{HEX} --index-url=http://evil"),
        ("pip", f"requests==2.0 --hash=sha256:{HEX}\nevil==1 --hash=sha256:{HEX}"),
        ("pip", f"./local==1 --hash=sha256:{HEX}"),
        ("pip", f"requests @ http://evil/x.whl --hash=sha256:{HEX}"),
        ("npm", f"left-pad@^1.0.0 {SHA512}"),
        ("npm", "left-pad@1.0.0"),
        ("npm", "left-pad@1.0.0 sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("npm", f"../../etc@1.0.0 {SHA512}"),
        ("npm", f"@a/../b@1.0.0 {SHA512}"),
        ("go", f"example.com/a/b@latest {H1}"),
        ("go", f"example.com/../b@v1.0.0 {H1}"),
        ("go", "example.com/a/b@v1.0.0"),
        ("go", f"fmt@v1.0.0 {H1}"),
        ("maven", f"com.acme:lib:1.0-SNAPSHOT sha256:{HEX}"),
        ("maven", f"com.acme:lib sha256:{HEX}"),
        ("maven", f"com..acme:lib:1.0 sha256:{HEX}"),
        ("maven", "com.acme:lib:1.0 sha256:abc"),
    ],
)
def test_what_is_not_pinned_is_refused_with_what_was_expected(ecosystem: str, line: str) -> None:
    with pytest.raises(ValueError, match="expected one exact version with its hash"):
        read(ecosystem, line)


@pytest.mark.parametrize(("language", "ecosystem"), [("python", "pip"), ("javascript", "npm")])
def test_a_runtime_takes_the_packages_of_its_language(language: str, ecosystem: str) -> None:
    assert texts(language, **{ecosystem: [GOOD[ecosystem]]}) == []


def test_packages_of_another_language_are_refused() -> None:
    assert texts("python", npm=[GOOD["npm"]]) == [
        "spec: found packages.npm, expected packages.pip: the language is python"
    ]


def test_a_bad_line_is_named_by_its_place() -> None:
    (text,) = texts("python", pip=[GOOD["pip"], "requests"])
    assert text.startswith(
        "spec.packages.pip[1]: found 'requests', expected one exact version with its hash: "
    )


def test_a_package_stands_there_once_however_it_is_written() -> None:
    (text,) = texts("python", pip=[f"Py_Yaml==1.0 --hash=sha256:{HEX}", f"py-yaml==2.0 --hash=sha256:{HEX}"])
    assert "found py-yaml 2.0 beside py-yaml 1.0, expected each package once" in text
