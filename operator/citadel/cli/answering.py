"""Who answers the steps of a run on this machine: the command line, ahead, or people at the terminal."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import click

from citadel.cli.givens import json_in, typed, wanted_types
from citadel.cli.terminal import one_line, safe
from citadel.core import events as ev
from citadel.core.jsonvalues import InvalidValue, Json, normalise
from citadel.core.state import State
from citadel.core.values import Values
from citadel.local.answers import (
    Ahead,
    Answer,
    Decision,
    Payload,
    Question,
    Unfit,
    fact_of,
    filled,
    question_of,
)
from citadel.local.machine import Machine
from citadel.local.outside import Outside
from citadel.store.journal import Journal

_LONGEST = 1 << 20


class Nobody(Exception):
    """Nobody is at the terminal any more."""


class Desk(Protocol):
    """Where people are asked."""

    async def ask(self, question: Question) -> Answer:
        """Their answer; raises Nobody."""
        ...


class Answering(Outside):
    """This machine, and answers. `give_up` is told why the execution cannot go on."""

    def __init__(
        self,
        machine: Machine,
        journal: Journal,
        ahead: Ahead,
        desk: Desk | None,
        say: Callable[[str], None],
        give_up: Callable[[str], None],
        prefix: str = "",
    ) -> None:
        super().__init__(machine=machine)
        self._journal, self._ahead, self._desk, self._prefix = journal, ahead, desk, prefix
        self._say, self._give_up = say, give_up

    def within(self, step: str) -> "Answering":
        """The same for the execution that a step runs."""
        prefix = f"{self._prefix}{step}/"
        return Answering(
            self.machine, self._journal, self._ahead, self._desk, self._say, self._give_up, prefix
        )

    async def answer(self, state: State, step: str, values: Values) -> ev.Event | None:
        """The answer that was given ahead, or that people give; None when nobody can be asked."""
        question = await question_of(self._journal, state, step, self._prefix)
        try:
            answer = self._ahead.take(question)
            if answer is None:
                if self._desk is None:
                    raise Nobody
                answer = await self._desk.ask(question)
        except (Nobody, Unfit) as error:
            why = f"{question.title}, and {str(error) or 'nobody is here to be asked'}; {_how(question)}"
            if question.until is None:
                self._give_up(why)
            else:
                self._say(f"citadel: {why}; it waits until its timeout")
            return None
        return fact_of(question, step, answer, values, getpass.getuser(), self.clock.time())


def _how(question: Question) -> str:
    """How to answer ahead."""
    if question.signal is not None:
        return f"give it ahead: --signal {question.signal}=JSON"
    form = "" if question.form is None else "=JSON"
    reason = " --reason TEXT" if question.reason_required else ""
    return f"decide ahead: --approve {question.path}{form}{reason}, or --reject {question.path}=REASON"


def ahead_of(approve: Iterable[str], reject: Iterable[str], signals: Iterable[str], reason: str) -> Ahead:
    """The answers of a command line; raises click.BadParameter."""
    decisions: dict[str, Decision] = {}
    for option, texts in (("--approve", approve), ("--reject", reject)):
        for text in texts:
            path, _, rest = text.partition("=")
            if not path:
                raise click.BadParameter(f"found {text!r:.80}, expected STEP or STEP=…", param_hint=option)
            if path in decisions:
                raise click.BadParameter(f"step {path} is decided twice", param_hint=option)
            if option == "--reject":
                decisions[path] = Decision(False, rest or reason)
                continue
            form = json_in(rest, f"{option} {path}") if rest else {}
            if not isinstance(form, dict):
                raise click.BadParameter("the form: expected a JSON object", param_hint=f"{option} {path}")
            decisions[path] = Decision(True, reason, form)
    given = []
    for text in signals:
        name, equals, rest = text.partition("=")
        if not name:
            raise click.BadParameter(f"found {text!r:.80}, expected NAME or NAME=JSON", param_hint="--signal")
        given.append((name, json_in(rest, f"--signal {name}") if equals else None))
    return Ahead(decisions, given)


class Terminal:
    """People at the terminal, who are asked one question after the other."""

    def __init__(self, descriptor: int, aside: Callable[[], AbstractContextManager[None]]) -> None:
        """`aside` makes room on the screen while somebody is asked."""
        self._descriptor, self._aside = descriptor, aside
        self._turn = asyncio.Lock()
        self._rest = b""

    async def ask(self, question: Question) -> Answer:
        """Their answer; raises Nobody when the input ends."""
        async with self._turn:
            with self._aside():
                click.echo(f"\n{one_line(question.title)}", err=True)
                if question.signal is not None:
                    return Payload(await self._value("payload as JSON (null if empty)", "null"))
                return await self._decision(question)

    async def _decision(self, question: Question) -> Answer:
        if question.shown:
            _show("shown", question.shown)
        if not await self._choice():
            return Decision(False, await self._reason(question.reason_required))
        form = await self._fitting_form(question)
        return Decision(True, await self._reason(question.reason_required), form)

    async def _reason(self, required: bool) -> str:
        while not (said := await self._line(f"reason{' (required)' if required else ''}")) and required:
            click.echo("  found none, and the step requires one", err=True)
        return said

    async def _fitting_form(self, question: Question) -> Mapping[str, Json]:
        """The form, as often as it takes until it fits."""
        while question.form is not None:
            try:
                return filled(question.form, await self._form(question.form))
            except Unfit as error:
                for line in str(error).splitlines():
                    click.echo(f"  {safe(line)}", err=True)
        return {}

    async def _choice(self) -> bool:
        while True:
            said = (await self._line("approve? [y/n]")).lower()
            if said in ("y", "yes", "n", "no"):
                return said.startswith("y")
            click.echo("  expected y or n", err=True)

    async def _form(self, schema: Mapping[str, Json]) -> dict[str, Json]:
        """The fields of a form, one by one; as a whole where it does not name them."""
        properties: Any = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            _show("form to fill in (JSON Schema)", schema)
            found = await self._value("form as JSON", "{}")
            if not isinstance(found, dict):
                raise Unfit("form: expected a JSON object")
            return found
        given: dict[str, Json] = {}
        required: Any = schema.get("required") or ()
        for name, field in properties.items():
            said = await self._line(_label(name, field if isinstance(field, dict) else {}, name in required))
            if said:
                given[name] = typed(said, wanted_types(schema, name))
        return given

    async def _value(self, label: str, otherwise: str) -> Json:
        while True:
            text = await self._line(label) or otherwise
            try:
                return normalise(text.encode("utf-8", "surrogateescape"))
            except InvalidValue as error:
                click.echo(f"  expected JSON: {safe(str(error))}", err=True)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._descriptor, tell)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)

    async def _line(self, label: str) -> str:
        """The next line; raises Nobody. Reads as it comes, so that a run that ends need not wait for it."""
        click.echo(f"  {one_line(label)}: ", nl=False, err=True)
        while b"\n" not in self._rest:
            await self._readable()
            data = os.read(self._descriptor, 4096)
            if not data or len(self._rest) > _LONGEST:
                click.echo(err=True)
                raise Nobody("the input has ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").strip()


def at_terminal(aside: Callable[[], AbstractContextManager[None]]) -> Terminal | None:
    """Whoever is at the terminal, if this is one."""
    interactive = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return Terminal(sys.stdin.fileno(), aside) if interactive else None


def _label(name: str, field: Mapping[str, Any], required: bool) -> str:
    """A field, and what it may be."""
    kind = field.get("type")
    told = [" or ".join(kind) if isinstance(kind, list) else str(kind)] if kind else []
    if "enum" in field:
        told = ["one of " + ", ".join(json.dumps(each, ensure_ascii=False) for each in field["enum"])]
    if "default" in field:
        told.append(f"else {json.dumps(field['default'], ensure_ascii=False)}")
    elif required:
        told.append("required")
    about = f", {field['description']}" if isinstance(field.get("description"), str) else ""
    return f"{name} ({'; '.join(told)}){about}" if told else f"{name}{about}"


def _show(title: str, value: Any) -> None:
    click.echo(f"  {title}:", err=True)
    for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n"):
        click.echo(f"    {safe(line)}", err=True)
