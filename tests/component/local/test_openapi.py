"""Tools that name an operation of an OpenAPI document, on this machine: as a cluster calls them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Citadel = Callable[..., Any]

DOCUMENT = """
openapi: 3.1.0
paths:
  /leads/{lead-id}/notes:
    put:
      operationId: putNote
      summary: Puts a note to a lead.
      parameters:
      - {name: lead-id, in: path, required: true, schema: {type: string}}
      - {name: X-Tag, in: header, schema: {type: string}}
      - {name: field, in: query, schema: {type: array, items: {type: string}}}
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Note"}}}
  /odd:
    get: {operationId: odd, parameters: [{name: x, in: query, schema: {type: nothing}}]}
components:
  schemas:
    Note: {type: object, required: [text], properties: {text: {type: string, maxLength: 20}}}
"""
FILE = """
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: note}
spec:
  http:
    url: %(url)s/v1/
    openapi: {configMapKeyRef: {name: %(document)s, key: openapi.yaml}, operation: %(operation)s}
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - name: add
    tool: {name: note}
    with: %(arguments)s
  outputs: {said: "${steps.add.output}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: crm-api}
data:
  openapi.yaml: |
    %(text)s
"""
GOOD = {"lead_id": "a/ü", "X_Tag": "hot", "field": ["a", "b"], "body": {"text": "Grüße"}}
ASK = ("run", "--local", "flow.yaml", "--isolation", "none")


class Crm(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = {"path": self.path, "tag": self.headers["X-Tag"], "got": json.loads(body)}
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def crm() -> Iterator[str]:
    """A server that runs meanwhile: its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Crm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://crm.localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def write(folder: Path, url: str = "http://crm.localhost", **other: Any) -> None:
    arguments = json.dumps(other.pop("arguments", GOOD), ensure_ascii=False)
    text = other.pop("text", DOCUMENT).strip().replace("\n", "\n    ")
    given = {"document": "crm-api", "operation": "putNote", **other}
    given |= {"url": url, "arguments": arguments, "text": text}
    (folder / "flow.yaml").write_text(FILE % given)


def test_an_operation_is_called_as_its_document_says(citadel: Citadel, tmp_path: Path) -> None:
    with crm() as url:
        write(tmp_path, url)
        ended = citadel(*ASK, "--allow-network")
    assert ended.code == 0, ended.stderr
    assert ended.outputs == {
        "said": {
            "path": "/v1/leads/a%2F%C3%BC/notes?field=a&field=b",
            "tag": "hot",
            "got": {"text": "Grüße"},
        }
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"body": {"text": "x"}}, "lead_id"),
        ({"lead_id": "7", "body": {"text": "x" * 21}}, "body.text"),
        ({"lead_id": "7", "body": {"text": "x"}, "more": 1}, "more"),
    ],
)
def test_arguments_that_the_document_does_not_take_are_refused_before_anything_is_sent(
    citadel: Citadel, tmp_path: Path, arguments: Any, told: str
) -> None:
    write(tmp_path, arguments=arguments)
    ended = citadel(*ASK, "--allow-network")
    assert ended.code == 1
    assert "ToolRefused" in ended.stderr
    assert told in ended.stderr


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"operation": "delNote"}, "found no operation delNote, expected one of: odd, putNote"),
        ({"operation": "odd"}, "key openapi.yaml of ConfigMap crm-api: as it was read: spec.parameters.prop"),
        ({"text": "swagger: '2.0'"}, "expected an OpenAPI document of version 3"),
        ({"text": "a: [1"}, "key openapi.yaml of ConfigMap crm-api: "),
        ({"document": "erp-api"}, "Tool note, http.openapi: ConfigMap erp-api is not in this file"),
    ],
)
def test_a_document_that_cannot_be_used_is_told_before_anything_runs(
    citadel: Citadel, tmp_path: Path, changed: dict[str, str], told: str
) -> None:
    write(tmp_path, **changed)
    ended = citadel(*ASK)
    assert ended.code == 2, ended.stderr
    assert told in ended.stderr
    linted = citadel("lint", "flow.yaml")
    if "document" in changed:
        assert linted.code == 0, "what is not in the file may be in a cluster"
    else:
        assert linted.code == 1
        assert linted.stdout.startswith("flow.yaml:8:5: Tool note, http.openapi: key openapi.yaml of ")


def test_without_leave_it_is_not_called_and_the_message_names_the_option(
    citadel: Citadel, tmp_path: Path
) -> None:
    write(tmp_path)
    ended = citadel(*ASK)
    assert ended.code == 1
    assert (
        "Tool note: http://crm.localhost/v1/leads/${args.lead_id}/notes is not called without" in ended.stderr
    )
