"""The Git server of the example `coding-agent`: what agents are told of it holds."""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from agentflows import EXAMPLES, GIT, TOKEN, serving


def test_the_git_server_wants_its_token_and_refuses_what_gitlab_refuses() -> None:
    with serving(GIT, EXAMPLES / "coding-agent") as port:
        api = f"http://127.0.0.1:{port}/api/v4/projects/team%2Ftill"

        def ask(path: str, body: object = None, **headers: str) -> tuple[int, str]:
            data = None if body is None else json.dumps(body).encode()
            sent = {name.replace("_", "-"): value for name, value in headers.items()} or TOKEN
            try:
                with urlopen(Request(f"{api}{path}", data, sent)) as answer:
                    return answer.status, answer.read().decode()
            except HTTPError as error:
                return error.code, error.read().decode()

        assert ask("/issues/1", PRIVATE_TOKEN="wrong")[0] == 401
        assert ask("/issues/1", Authorization="Bearer sesame")[0] == 200
        assert ask("/issues/2")[0] == 404
        assert ask("/repository/files/..%2F..%2Fetc%2Fpasswd/raw")[0] == 404
        assert "def parse_price" in ask("/repository/files/price.py/raw?ref=main")[1]
        change = {"action": "update", "file_path": "größe.py", "content": "x = 1\n"}
        commit = {"branch": "agent/a", "start_branch": "main", "commit_message": "try", "actions": [change]}
        status, said = ask("/repository/commits", commit)
        assert (status, json.loads(said)["message"]) == (400, "A file with this name doesn't exist: größe.py")
        change["action"] = "create"
        assert ask("/repository/commits", commit)[0] == 201
        assert "already exists" in ask("/repository/commits", commit)[1]
        change["file_path"] = "../outside"
        assert ask("/repository/commits", {**commit, "branch": "agent/b"})[0] == 400
        wanted = {"source_branch": "agent/a", "target_branch": "main", "title": "Größe"}
        assert ask("/merge_requests", {**wanted, "source_branch": "agent/none"})[0] == 400
        assert ask("/merge_requests", wanted)[0] == 201
        assert ask("/merge_requests", wanted)[0] == 409
        assert ask("/issues/1/notes", {})[0] == 400
        assert ask("/issues/1/notes", {"body": "see !1"})[0] == 201
