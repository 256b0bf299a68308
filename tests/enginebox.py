"""A container engine for tests: podman with storage of its own, and an image that has a shell, no more."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BOX = "localhost/citadel-box:test"
#: Limits that a machine without the right to raise its own can give as well; runc, as crun 1.8 knows no
#: machine that has both versions of cgroups.
SETTINGS = """[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
[engine]
runtime = "runc"
lock_type = "file"
tmp_dir = "{run}/tmp"
"""


@contextmanager
def engine(folder: Path, stores: Sequence[Path] = ()) -> Iterator[dict[str, str]]:
    """The environment in which podman keeps what lasts in `folder`, and finds the images of `stores` too.

    It shares nothing with another one that runs at the same time.
    """
    # With a path of more than 50 characters podman 4 cleans up after no container, and waits 20 s for that.
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp", ignore_cleanup_errors=True) as run:
        (folder / "containers.conf").write_text(SETTINGS.format(run=run))
        others = ", ".join(f'"{store}"' for store in stores)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{run}"\n'
            f"[storage.options]\nadditionalimagestores = [{others}]\n"
        )
        yield {
            "CITADEL_ENGINE": "podman",
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }


def make_box(env: dict[str, str]) -> None:
    """Makes the image `BOX`: busybox under every name that it has."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is missing: hack/lib.sh, ensure_podman"
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        for name in set(listed.stdout.split()) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    done = podman(
        env, "import", "--quiet", "--change=ENV BROUGHT=by the image", "-", BOX, stdin=image.getvalue()
    )
    assert done.returncode == 0, done.stderr.decode()


def podman(env: dict[str, str], *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What podman says."""
    return subprocess.run(["podman", *arguments], env=os.environ | env, input=stdin, capture_output=True)
