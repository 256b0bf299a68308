"""The door: what the runner leads to the gateway, on loopback, while this attempt is under way."""

import http.client
import json
import os
import time
import urllib.parse

from citadel_agent.failing import Refused, ended, passes, pauses

#: Where the runner listens, unless CITADEL_AGENT_URL says otherwise.
ADDRESS = "http://127.0.0.1:8790/v1"


def address():
    """The URL below which everything is."""
    return os.environ.get("CITADEL_AGENT_URL", ADDRESS).rstrip("/")


class Door:
    """Asks the gateway, again and again while nobody has said no: an answer here is one for good."""

    def __init__(self, url, sleep=time.sleep):
        self._sleep = sleep
        parts = urllib.parse.urlsplit(url)
        self._host, self._path = parts.netloc, parts.path
        self._free = []  # connections that no call uses now

    def close(self):
        """Ends its connections."""
        while self._free:
            self._free.pop().close()

    def call(self, name, arguments, call_id):
        """The end of a tool call: `{"status": "Succeeded", "output"}` or `{"status": "Failed", …}`.

        It is asked for as long as it runs: an approval may take days.
        """
        body = {"id": call_id, "name": name, "arguments": arguments}
        while True:
            answer = self._ask("POST", "tools", body)
            if answer.get("status") != "Running":
                return answer

    def remember(self, summary, covers):
        """Let a summary stand for the first messages of the history that this attempt was given."""
        self._ask("PUT", "memory", {"summary": summary, "covers": covers})

    def answer(self, asked):
        """The pieces of a model's answer, as they come; raises Refused, OSError and HTTPException."""
        connection, response = self._sent("POST", "chat/completions", asked)
        whole = False
        try:
            if response.status != 200:
                raise Refused(response.status, _error(response.read()))
            for line in response:
                # Each event is one line, as this door has no others.
                said = line.removeprefix(b"data:").strip()
                if said == b"[DONE]":
                    response.read()  # the end, by which the connection may carry something else
                    whole = True
                    return
                if not said:
                    continue
                piece = _json(said)
                if not isinstance(piece, dict) or piece.get("error"):
                    raise Refused(0, _error(said))
                yield piece
        finally:
            if whole:
                self._free.append(connection)
            else:
                connection.close()

    def _ask(self, method, what, body):
        for pause in pauses():
            try:
                connection, response = self._sent(method, what, body)
                status, said = response.status, response.read()
                self._free.append(connection)
            except (OSError, http.client.HTTPException):
                status, said = 0, b""
            answer = _json(said)
            if status == 200 and isinstance(answer, dict):
                return answer
            error = _error(said)
            if not passes(status, error):
                raise ended(status, error)
            self._sleep(pause)
        raise AssertionError("unreachable: there is always another try")

    def _sent(self, method, what, body):
        """A connection on which a request was sent, and its response; raises OSError and HTTPException."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                connection, fresh = self._free.pop(), False
            except IndexError:
                connection, fresh = http.client.HTTPConnection(self._host), True
            try:
                connection.request(method, f"{self._path}/{what}", data, headers)
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if fresh:
                    raise


def _json(said):
    try:
        return json.loads(said)
    except ValueError:
        return None


def _error(said):
    """What a body says is wrong; None where it says nothing."""
    found = _json(said)
    return found.get("error") if isinstance(found, dict) else None
