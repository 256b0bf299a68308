"""The runner's door, as an agent sees it: a model that says what a test wants, and tools that do."""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Mapping[str, Any]


def says(text: str) -> Answer:
    """An answer in words."""
    return {"text": text}


def calls(*wanted: tuple[str, Any], text: str = "") -> Answer:
    """An answer that calls tools; arguments that are text are sent as they are."""
    return {"text": text, "calls": wanted}


def fails(status: int, code: str | None, message: str = "no") -> Answer:
    """An error of the door, or of what stands before it."""
    return {"status": status, "error": {"code": code, "message": message}}


@dataclass
class Door:
    """Answers turn after turn what `model` says; `tools` by name, each from its arguments."""

    model: list[Answer]
    tools: Mapping[str, Callable[[Any], Answer]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    called: list[dict[str, Any]] = field(default_factory=list)
    remembered: list[dict[str, Any]] = field(default_factory=list)
    cut: int = 0
    """How many answers break off."""

    def __enter__(self) -> str:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/chat/completions":
                    door.raw.append(body)
                    door.asked.append(json.loads(body))
                    self._stream(door.model.pop(0))
                elif self.path == "/v1/tools":
                    wanted = json.loads(body)
                    door.called.append(wanted)
                    answer = door.tools[wanted["name"]](wanted["arguments"])
                    failed = isinstance(answer["status"], int)
                    self._json(answer["status"] if failed else 200, answer)

            def do_PUT(self) -> None:
                door.remembered.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._json(200, {})

            def _json(self, status: int, answer: Any) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                with contextlib.suppress(BrokenPipeError):  # whoever asked has ended
                    self.end_headers()
                    self.wfile.write(data)

            def _stream(self, answer: Answer) -> None:
                if "status" in answer:
                    self._json(answer["status"], {"error": answer["error"]})
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for number, chunk in enumerate(_chunks(answer)):
                    if number and door.cut:
                        door.cut -= 1
                        door.model.insert(0, answer)
                        self.close_connection = True
                        return
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.flush()
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _chunks(answer: Answer) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in answer["text"].split("|") if word]
    for index, (name, arguments) in enumerate(answer.get("calls", ())):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call_id = f"call-{name}-{index}"
        half = len(text) // 2
        function = {"name": name, "arguments": text[:half]}
        first = {"index": index, "id": call_id, "type": "function", "function": function}
        rest = {"index": index, "function": {"arguments": text[half:]}}
        deltas += [{"tool_calls": [first]}, {"tool_calls": [rest]}]
    end = "tool_calls" if answer.get("calls") else "stop"
    common = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunks = [common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(common | {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return [*chunks, common | {"choices": [], "usage": usage}]
