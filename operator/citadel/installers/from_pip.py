"""Installs wheels with the image's own pip: never from source, and only what has a hash."""

import compileall
import glob
import os
import py_compile
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

from citadel.installers.fetching import (
    ROOT,
    fail,
)

_TARGET = os.path.join(ROOT, "python")
#: Where Debian keeps the wheel of pip; it runs from there.
_WHEELS = "/usr/share/python-wheels/pip-*.whl"


def main(packages: list[str], index: str, ca: str = "") -> Any:
    """Installs packages below ROOT."""
    files = {"requirements.txt": "".join(f"{line}\n" for line in packages), "ca.crt": ca}
    for name, text in files.items():
        with open(name, "w") as file:
            file.write(text)
    command = [
        *_pip(),
        *("install", "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir"),
        *("--progress-bar", "off", "--root-user-action", "ignore", "--no-warn-script-location"),
        *("--require-hashes", "--only-binary", ":all:", "--no-compile", "--target", _TARGET),
        *("--index-url", index, "--requirement", "requirements.txt"),
    ]
    if index.startswith("http:"):
        command += ["--trusted-host", urlsplit(index).netloc]
    elif ca:
        command += ["--cert", "ca.crt"]
    done = subprocess.run(command)  # noqa: S603
    if done.returncode != 0:
        fail(f"pip ended with exit code {done.returncode}")
    # The tree is read-only, so each step would compile it anew. It cannot change, so nobody compares.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(_TARGET, quiet=2, stripdir=_TARGET, invalidation_mode=mode)
    return {"packages": len(packages)}


def _pip() -> list[str]:
    wheels = sorted(glob.glob(_WHEELS))
    if wheels:
        return [sys.executable, os.path.join(wheels[-1], "pip")]
    if subprocess.run([sys.executable, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode:
        fail("the image has no pip, expected the module, or the wheel that Debian's python3-pip-whl brings")
    return [sys.executable, "-m", "pip"]
