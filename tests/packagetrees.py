"""Package indexes as plain trees of files, made on the fly: what servers of four ecosystems give."""

import base64
import hashlib
import io
import json
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_AT = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Trees:
    """A folder that a file server may serve; each `add` returns the line that pins what it made."""

    root: Path

    def wheel(
        self,
        name: str,
        version: str,
        files: Mapping[str, str | bytes],
        requires: str = "",
        tag: str = "py3-none-any",
    ) -> str:
        """A wheel in a simple index below `pip/`."""
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Dist: {requires}\n" if requires else ""
        wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n" + f"Tag: {tag}\n"
        content = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
        record = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
        body = _zip({**content, f"{info}/RECORD": record})
        file_name = f"{name}-{version}-{tag}.whl"
        self._write(f"pip/{name}/{file_name}", body)
        page = self.root / "pip" / name / "index.html"
        links = page.read_text() if page.exists() else "<!DOCTYPE html>\n"
        page.write_text(f'{links}<a href="{file_name}">{file_name}</a>\n')
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(body).hexdigest()}"

    def tarball(self, name: str, version: str, files: Mapping[str, str], **manifest: Any) -> str:
        """A package in a registry below `npm/`."""
        manifest = {"name": name, "version": version, **manifest}
        body = _tar({"package/package.json": json.dumps(manifest), **_below("package", files)})
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(body).digest()).decode()}"
        base = name.rpartition("/")[2]
        path = f"npm-files/{name}/-/{base}-{version}.tgz"
        self._write(path, body)
        # Registries name their own idea of the host.
        dist = {"tarball": f"http://elsewhere.invalid/{path}", "integrity": integrity}
        versions = {"versions": {version: {"name": name, "version": version, "dist": dist}}}
        self._write(f"npm/{name}", json.dumps(versions).encode())
        return f"{name}@{version} {integrity}"

    def module(self, name: str, version: str, files: Mapping[str, str]) -> str:
        """A module in a proxy's tree below `go/`."""
        files = {"go.mod": f"module {name}\n\ngo 1.21\n", **files}
        content = _below(f"{name}@{version}", files)
        escaped = "".join(f"!{letter.lower()}" if letter.isupper() else letter for letter in name)
        self._write(f"go/{escaped}/@v/{version}.zip", _zip(content))
        lines = [
            f"{hashlib.sha256(content[path].encode()).hexdigest()}  {path}\n" for path in sorted(content)
        ]
        digest = hashlib.sha256("".join(lines).encode()).digest()
        return f"{name}@{version} h1:{base64.b64encode(digest).decode()}"

    def jar(self, group: str, artifact: str, version: str, files: Mapping[str, str | bytes]) -> str:
        """A jar in a repository's layout below `maven/`."""
        body = _zip(files)
        self._write(f"maven/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar", body)
        return f"{group}:{artifact}:{version} sha256:{hashlib.sha256(body).hexdigest()}"

    def _write(self, path: str, body: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


#: It has a thread from the moment of its import on, as libraries for numbers do: no fork of a process that
#: has imported it has that thread. Declared by hand, since Python's headers are seldom installed.
NATIVE = """
#include <pthread.h>
typedef struct Object Object;
typedef Object *(*Call)(Object *, Object *);
struct Method { const char *name; Call call; int flags; const char *doc; };
struct Module {
    long references; void *type, *init; long index; Object *copy;
    const char *name, *doc; long size; struct Method *methods; void *slots, *traverse, *clear, *free;
};
Object *PyModule_Create2(struct Module *, int);
Object *PyLong_FromLong(long);
static pthread_t helper;
static long found;
static void *help(void *unused) { found += 42; return unused; }
static Object *answer(Object *self, Object *none) {
    pthread_join(helper, 0);
    return PyLong_FromLong(found++);
}
static struct Method methods[] = {{"answer", answer, 4, 0}, {0}};
static struct Module module = {.references = 1, .name = "native", .size = -1, .methods = methods};
Object *PyInit_native(void) {
    pthread_create(&helper, 0, help, 0);
    return PyModule_Create2(&module, 3);
}
"""


def native_module(folder: Path) -> bytes:
    """The extension module `native`, for the stable ABI; what `answer()` returns first is 42."""
    (folder / "native.c").write_text(NATIVE)
    library = folder / "native.abi3.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-pthread", "-o", library, folder / "native.c"], check=True, timeout=60
    )
    return library.read_bytes()


def constants(name: str, **texts: str) -> bytes:
    """The class file of a Java interface with these constants: there need not be a compiler."""

    def utf8(text: str) -> bytes:
        return b"\x01" + struct.pack(">H", len(text.encode())) + text.encode()

    pool = [utf8(name), b"\x07\0\1", utf8("java/lang/Object"), b"\x07\0\3"]
    pool += [utf8("ConstantValue"), utf8("Ljava/lang/String;")]
    fields = b""
    for field, text in texts.items():
        pool += [utf8(field), utf8(text)]
        pool.append(b"\x08" + struct.pack(">H", len(pool)))
        fields += struct.pack(">HHHHHIH", 0x0019, len(pool) - 2, 6, 1, 5, 2, len(pool))
    head = struct.pack(">IHHH", 0xCAFEBABE, 0, 52, len(pool) + 1) + b"".join(pool)
    return head + struct.pack(">HHHHH", 0x0601, 2, 4, 0, len(texts)) + fields + bytes(4)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The URL under which a folder is served while this lasts."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


def _zip(files: Mapping[str, str | bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, _AT), text)
    return body.getvalue()


def _tar(files: Mapping[str, str]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for path, text in files.items():
            item = tarfile.TarInfo(path)
            item.size = len(text.encode())
            archive.addfile(item, io.BytesIO(text.encode()))
    return body.getvalue()
