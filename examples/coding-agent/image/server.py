"""A small Git server with the part of GitLab's API that a coding agent needs, and Git itself over HTTP.

It is for trying out: one project, one token, issues and merge requests in memory. Whoever has the token may all.
"""

import argparse
import base64
import hmac
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from repository import Refused, Repository

HERE = Path(__file__).parent
PROJECT = "team/till"
API = "/api/v4/projects/"
MOST = 8 * 1024 * 1024


class Project:
    """A repository, and what people say of it."""

    def __init__(self, folder: Path, url: str) -> None:
        files = {path.name: path.read_bytes() for path in sorted((HERE / "project").iterdir()) if path.is_file()}
        self.repository = Repository.create(folder / f"{PROJECT}.git", files)
        self.url = f"{url}/{PROJECT}"
        self.lock = threading.Lock()
        self.issues: list[dict] = []
        self.merge_requests: list[dict] = []
        self.notes: dict[tuple[str, int], list[dict]] = {}
        for issue in json.loads((HERE / "issues.json").read_text()):
            self.open_issue(issue)

    def answer(self, method: str, path: list[str], query: dict[str, str], body: dict) -> object:
        """What the API answers below /projects/:id. Raises Refused."""
        match (method, *path):
            case ("GET", "issues"):
                return self.issues
            case ("POST", "issues"):
                return self.open_issue(body)
            case ("GET", "merge_requests"):
                return self.merge_requests
            case ("POST", "merge_requests"):
                return self.open_merge_request(body)
            case ("GET", ("issues" | "merge_requests") as kind, number):
                return self.item(kind, number)
            case (_, ("issues" | "merge_requests") as kind, number, "notes"):
                notes = self.notes.setdefault((kind, self.item(kind, number)["iid"]), [])
                if method == "POST":
                    notes.append({"id": len(notes) + 1, "body": _text(body, "body")})
                    return notes[-1]
                return notes
            case ("GET", "repository", "branches"):
                return [self.branch(name) for name in self.repository.branches()]
            case ("POST", "repository", "branches"):
                asked = {**query, **body}
                self.repository.branch(_text(asked, "branch"), _text(asked, "ref"))
                return self.branch(asked["branch"])
            case ("GET", "repository", "tree"):
                paths = self.repository.tree(query.get("ref", "main"))
                return [{"path": path, "name": path.rpartition("/")[2], "type": "blob"} for path in paths]
            case ("GET", "repository", "files", name, "raw"):
                return self.repository.read(query.get("ref", "main"), name)
            case ("GET", "repository", "files", name):
                content = self.repository.read(query.get("ref", "main"), name)
                return {"file_path": name, "encoding": "base64", "content": base64.b64encode(content).decode()}
            case ("POST", "repository", "commits"):
                return self.commit(body)
        raise Refused(404, "404 Not Found")

    def item(self, kind: str, number: str) -> dict:
        """An issue or a merge request by its number."""
        for found in self.issues if kind == "issues" else self.merge_requests:
            if str(found["iid"]) == number:
                return found
        raise Refused(404, "404 Not found")

    def open_issue(self, body: dict) -> dict:
        """A new issue."""
        number = len(self.issues) + 1
        labels, title = body.get("labels") or [], _text(body, "title")
        made = {"iid": number, "title": title, "description": body.get("description") or "", "labels": labels}
        self.issues.append({**made, "state": "opened", "web_url": f"{self.url}/-/issues/{number}"})
        return self.issues[-1]

    def open_merge_request(self, body: dict) -> dict:
        """A new merge request."""
        source, target = _text(body, "source_branch"), _text(body, "target_branch")
        for branch in (source, target):
            if not self.repository.has(branch):
                raise Refused(400, f"branch {branch} does not exist")
        for other in self.merge_requests:
            if other["source_branch"] == source and other["state"] == "opened":
                raise Refused(409, f"Another open merge request already exists for this source branch: !{other['iid']}")
        number = len(self.merge_requests) + 1
        self.merge_requests.append(
            {
                "iid": number,
                "title": _text(body, "title"),
                "description": body.get("description") or "",
                "state": "opened",
                "source_branch": source,
                "target_branch": target,
                "sha": self.repository.tip(source),
                "web_url": f"{self.url}/-/merge_requests/{number}",
            }
        )
        return self.merge_requests[-1]

    def branch(self, name: str) -> dict:
        """A branch as the API shows it."""
        return {"name": name, "commit": {"id": self.repository.tip(name)}}

    def commit(self, body: dict) -> dict:
        """One commit of several files."""
        branch, start = _text(body, "branch"), body.get("start_branch")
        known = set(self.repository.tree(start or branch))
        files, gone = {}, []
        for action in body.get("actions") or []:
            path, kind = _text(action, "file_path"), action.get("action")
            if kind == "create" and path in known:
                raise Refused(400, f"A file with this name already exists: {path}")
            if kind in ("update", "delete") and path not in known:
                raise Refused(400, f"A file with this name doesn't exist: {path}")
            if kind == "delete":
                gone.append(path)
            elif kind in ("create", "update"):
                encoded = action.get("encoding") == "base64"
                content = action.get("content") or ""
                files[path] = base64.b64decode(content) if encoded else content.encode()
            else:
                raise Refused(400, f"actions[action] does not have a valid value: {kind}")
        made = self.repository.commit(branch, start, _text(body, "commit_message"), files, gone)
        return {"id": made, "short_id": made[:8], "message": body["commit_message"]}


def _text(body: dict, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} is missing")
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    project: Project
    token: str

    def handle_one(self) -> None:
        body = self._body()
        if not self._may():
            return self._send(401, {"message": "401 Unauthorized"}, ("WWW-Authenticate", 'Basic realm="git"'))
        url = urlsplit(self.path)
        try:
            if url.path.startswith(f"/{PROJECT}.git/"):
                return self._git(url.path, url.query, body)
            number, *path = [unquote(part) for part in url.path.removeprefix(API).split("/")]
            if not url.path.startswith(API) or number not in ("1", PROJECT):
                raise Refused(404, "404 Project Not Found")
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            try:
                asked = json.loads(body or b"{}")
            except ValueError:
                raise Refused(400, "the body is no JSON") from None
            with self.project.lock:
                answer = self.project.answer(self.command, path, query, asked)
            self._send(201 if self.command == "POST" else 200, answer)
        except Refused as refused:
            self._send(refused.status, {"message": refused.message})

    do_GET = do_POST = handle_one

    def _may(self) -> bool:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            given = base64.b64decode(given + "==").decode("utf-8", "replace").partition(":")[2]
        given = self.headers.get("PRIVATE-TOKEN") or given
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST))
        found = b""
        while (size := int(self.rfile.readline().partition(b";")[0], 16)) and len(found) < MOST:
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _send(self, status: int, answer: object, *headers: tuple[str, str]) -> None:
        raw = isinstance(answer, bytes)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if raw else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _git(self, path: str, query: str, body: bytes) -> None:
        """Clone, fetch and push, by git's own CGI program."""
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.project.repository.path.parents[1]),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "somebody",
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}")


def main() -> None:
    """Serves until it is ended. The token is $GIT_TOKEN."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8929)
    parser.add_argument("--host", default="")
    parser.add_argument("--url", help="what people call this server")
    parser.add_argument("--tls", metavar="FILE", help="a certificate and its key, in one PEM file")
    options = parser.parse_args()
    data = Path(os.environ.get("GIT_DATA") or tempfile.gettempdir())
    data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=data))
    server = http.server.ThreadingHTTPServer((options.host, options.port), Handler)
    scheme = "http"
    if options.tls:
        scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    url = options.url or f"{scheme}://localhost:{server.server_port}"
    Handler.project, Handler.token = Project(folder, url), os.environ["GIT_TOKEN"]
    print(f"{PROJECT} is served at {url}")
    server.serve_forever()


if __name__ == "__main__":
    main()
