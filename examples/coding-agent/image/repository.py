"""A bare Git repository, read and written by Git's own plumbing: no working tree, no checkout."""

import os
import subprocess
import tempfile
from pathlib import Path

NOBODY = "0" * 40


class Refused(Exception):
    """What a caller has to be told: a status of HTTP and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Repository:
    """One repository with the branch `main`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, files: dict[str, bytes]) -> "Repository":
        """A new one whose first commit holds `files`."""
        path.mkdir(parents=True)
        found = cls(path)
        found._git("init", "--bare", "-q", "-b", "main")
        found._git("config", "http.receivepack", "true")
        found._write("main", "main", "The project as it is", files, [])
        return found

    def tip(self, ref: str) -> str:
        """The commit that a branch or a commit's name means."""
        if ref.startswith("-"):
            raise Refused(404, "404 Tree Not Found")
        done = self._try("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if done.returncode:
            raise Refused(404, "404 Tree Not Found")
        return done.stdout.decode().strip()

    def has(self, branch: str) -> bool:
        """Whether there is such a branch."""
        return self._try("show-ref", "--verify", "--quiet", f"refs/heads/{branch}").returncode == 0

    def branches(self) -> list[str]:
        """Names of all branches."""
        return self._git("for-each-ref", "--format=%(refname:short)", "refs/heads").decode().split()

    def tree(self, ref: str) -> list[str]:
        """Paths of all files."""
        listed = self._git("ls-tree", "-r", "-z", "--name-only", self.tip(ref))
        return [path for path in listed.decode().split("\0") if path]

    def read(self, ref: str, path: str) -> bytes:
        """What a file holds."""
        done = self._try("cat-file", "blob", f"{self.tip(ref)}:{path}")
        if done.returncode:
            raise Refused(404, "404 File Not Found")
        return done.stdout

    def branch(self, name: str, ref: str) -> str:
        """Makes a branch; its commit."""
        self._check_name(name)
        tip = self.tip(ref)
        if self._try("update-ref", f"refs/heads/{name}", tip, NOBODY).returncode:
            raise Refused(400, "Branch already exists")
        return tip

    def commit(
        self, branch: str, start: str | None, message: str, files: dict[str, bytes], gone: list[str]
    ) -> str:
        """Writes and deletes files on a branch, which begins at `start` if that is named; the new commit."""
        if start is not None and self.has(branch):
            raise Refused(400, f"A branch called '{branch}' already exists. Switch to that branch to change it")
        if start is None and not self.has(branch):
            raise Refused(400, "You can only create or edit files when you are on a branch")
        self._check_name(branch)
        return self._write(branch, start or branch, message, files, gone)

    def _write(self, branch: str, start: str, message: str, files: dict[str, bytes], gone: list[str]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            parents, before = [], NOBODY
            if self._try("rev-parse", "--verify", "--quiet", f"{start}^{{commit}}").returncode == 0:
                parents = [self.tip(start)]
                before = self.tip(branch) if self.has(branch) else NOBODY
                self._git("read-tree", parents[0], env=index)
            for path, content in files.items():
                blob = self._git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
                done = self._try("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
                if done.returncode:
                    raise Refused(400, f"{path!r} is no path of a file")
            if gone:
                self._git("update-index", "--force-remove", "--", *gone, env=index)
            tree = self._git("write-tree", env=index).decode().strip()
        named = [part for parent in parents for part in ("-p", parent)]
        made = self._git("commit-tree", tree, *named, stdin=message.encode()).decode().strip()
        if self._try("update-ref", f"refs/heads/{branch}", made, before).returncode:
            raise Refused(409, f"{branch} has moved; try again")
        return made

    def _check_name(self, branch: str) -> None:
        if branch.startswith("-") or self._try("check-ref-format", "--branch", branch).returncode:
            raise Refused(400, f"{branch!r} is no name of a branch")

    def _try(
        self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _WHO.items()}
        return subprocess.run(
            ["git", "--git-dir", str(self.path), *words],
            input=stdin, capture_output=True, env=os.environ | who | (env or {}),
        )  # fmt: skip

    def _git(self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        done = self._try(*words, stdin=stdin, env=env)
        if done.returncode:
            raise RuntimeError(f"git {words[0]}: {done.stderr.decode()}")
        return done.stdout


_WHO = {"NAME": "Git server", "EMAIL": "git@example.com"}
