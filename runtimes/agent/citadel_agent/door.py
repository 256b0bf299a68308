"""The door: what the runner leads to the gateway, on loopback, while this attempt is under way."""

import http.client
import json
import os
import time
import urllib.parse

from citadel_agent.failing import ended, passes, pauses

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

    def _ask(self, method, what, body):
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        for pause in pauses():
            status, said = self._exchange(method, what, data)
            try:
                answer = json.loads(said)
            except ValueError:
                answer = None
            if status == 200 and isinstance(answer, dict):
                return answer
            error = answer.get("error") if isinstance(answer, dict) else None
            if not passes(status, error):
                raise ended(status, error)
            self._sleep(pause)
        raise AssertionError("unreachable: there is always another try")

    def _exchange(self, method, what, data):
        """Status and body of an answer; 0 where there is none."""
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                connection, fresh = self._free.pop(), False
            except IndexError:
                connection, fresh = http.client.HTTPConnection(self._host), True
            try:
                connection.request(method, f"{self._path}/{what}", data, headers)
                response = connection.getresponse()
                status, said = response.status, response.read()
                self._free.append(connection)
                return status, said
            except (OSError, http.client.HTTPException):
                connection.close()
                if fresh:
                    return 0, b""
