"""What people see of a run in its log: the model's words as they come, and a line for each tool call."""

import json
import sys
import threading

from langchain_core.callbacks import BaseCallbackHandler

#: Characters of a call's arguments, and of what it gave.
SHOWN = 400


class Teller(BaseCallbackHandler):
    """Prints. It never fails a run."""

    def __init__(self):
        self._lock = threading.Lock()
        self._amid = False  # whether the last thing printed ended no line

    def on_llm_new_token(self, token, **_):
        """A piece of an answer, which leaves at once."""
        if isinstance(token, str) and token:
            self._print(token, whole=False)

    def answered(self):
        """The end of an answer."""
        with self._lock:
            self._end_line()

    def called(self, name, arguments):
        """A tool is called."""
        self._print(f"→ {_line(name)} {_line(_json(arguments))}", whole=True)

    def gave(self, name, answer):
        """A call has ended."""
        if answer.get("status") == "Succeeded":
            self._print(f"← {_line(name)} {_line(_json(answer.get('output')))}", whole=True)
        else:
            said = f"{answer.get('reason')}: {answer.get('message')}"
            self._print(f"✗ {_line(name)} {_line(said)}", whole=True)

    def told(self, text):
        """A line of the agent's own."""
        self._print(_line(text), whole=True)

    def _print(self, text, whole):
        with self._lock:
            if whole:
                self._end_line()
                text += "\n"
            sys.stdout.write(text)
            sys.stdout.flush()
            self._amid = not text.endswith("\n")

    def _end_line(self):
        if self._amid:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._amid = False


def _json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _line(text):
    line = "".join(letter if letter.isprintable() else " " for letter in str(text)[: SHOWN + 1])
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
