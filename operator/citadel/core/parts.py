"""What a step does and what is said of it, compiled: its loop, its cases, its files, its schema."""

from collections.abc import Iterator, Mapping

from citadel.api.durations import seconds
from citadel.api.step import Step
from citadel.core.checking import Checker, Path, Sight
from citadel.core.compiled import Cases, Loop
from citadel.core.expressions import Expression
from citadel.core.inputs import compile_inputs
from citadel.core.outputs import compile_output
from citadel.core.parcels import Source, read_parcels
from citadel.core.schemas import InvalidSchema
from citadel.core.templates import Template
from citadel.core.values import ByReference

#: Actions whose arguments stand in the journal.
_STORED = frozenset(("workflow", "approval", "agent", "tool"))
ITERATION = frozenset(("iteration", "previous"))


class PartCompiler(Checker):
    """Compiles the parts of a step, each by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, Step] = {}
        """Steps by their definition paths."""

    def loop(self, step: Step, place: Path, sight: Sight) -> Loop | None:
        """How a step is repeated; None where it is not."""
        if step.for_each is not None:
            items = self.template((*place, "forEach", "items"), step.for_each.items, sight)
            return Loop(step.for_each, items=items)
        if step.repeat is None:
            return None
        until = None
        if step.repeat.until is not None:
            asked_in = sight.also("output", *ITERATION)
            until = self.expression((*place, "repeat", "until"), step.repeat.until, asked_in)
        return Loop(step.repeat, until=until, delay=seconds(step.repeat.delay) if step.repeat.delay else 0.0)

    def switch(self, step: Step, place: Path, sight: Sight) -> Cases | None:
        """The cases of a switch."""
        if step.switch is None:
            return None
        cases: list[tuple[Expression, Template]] = []
        for position, case in enumerate(step.switch.cases):
            at = (*place, "switch", "cases", position)
            when = self.expression((*at, "when"), case.when, sight)
            value = self.template((*at, "value"), case.value, sight)
            if when is not None and value is not None:
                cases.append((when, value))
        default = None
        if step.switch.default is not None:
            default = self.template((*place, "switch", "default"), step.switch.default, sight)
        return Cases(tuple(cases), default)

    def wait(self, step: Step, place: Path, sight: Sight) -> Template | None:
        """How long, or until when, a step waits."""
        wait = step.wait
        if wait is None or wait.signal is not None:
            return None
        field, text = ("for", wait.duration) if wait.duration is not None else ("until", wait.until)
        template = self.template((*place, "wait", field), text, sight)
        if template is not None and template.constant and field == "for":
            self._duration((*place, "wait", "for"), str(text))
        return template

    def question(self, step: Step, place: Path, sight: Sight) -> dict[str, Template]:
        """What a model or an agent is asked, by the fields of the action."""
        if step.llm is not None:
            given = {"prompt": step.llm.prompt, "system": step.llm.system}
        elif step.agent is not None:
            given = {"prompt": step.agent.prompt, "conversation": step.agent.conversation}
        else:
            return {}
        found = {
            field: self.template((*place, step.action, field), text, sight)
            for field, text in given.items()
            if text is not None
        }
        return {field: template for field, template in found.items() if template is not None}

    def _duration(self, place: Path, text: str) -> None:
        try:
            seconds(text)
        except ValueError as error:
            self.problem(place, str(error))

    def env(self, step: Step, place: Path, sight: Sight) -> Iterator[tuple[str, Template]]:
        """Environment variables of code."""
        action = step.run or step.container
        for position, variable in enumerate(action.env if action is not None else ()):
            at = (*place, "run" if step.run else "container", "env", position, "value")
            template = self.template(at, variable.value, sight)
            if template is not None:
                yield variable.name, template

    def parcels(
        self, step: Step, place: Path, sight: Sight
    ) -> tuple[dict[str, Template | ByReference], dict[str, Source], dict[str, str]]:
        """Files by path, artifacts taken by path, and paths of those left by name."""
        seen = {name: self.specs[path] for name, path in sight.names.items()}
        parcels = read_parcels(step, list(seen.values()))
        for below, message in parcels.problems:
            self.problem((*place, *below), message)
        files: dict[str, Template | ByReference] = {}
        for at, (spelling, value) in parcels.files.items():
            content = self.argument((*place, "files", spelling), value, sight)
            if content is not None:
                files[at] = content
        taken: dict[str, Source] = {}
        for at, source in parcels.taken.items():
            here = (*place, "artifacts", "in", at)
            self.known(here, source.step, sight)
            if source.step not in seen:
                continue
            if seen[source.step].for_each is not None or seen[source.step].repeat is not None:
                self.problem(here, f"step {source.step} runs more than once, expected artifacts of one run")
            taken[at] = Source(sight.names[source.step], source.name)
        return files, taken, parcels.left

    def refuse_references(
        self, step: Step, arguments: Mapping[str, Template | ByReference], place: Path
    ) -> None:
        """What people and models are shown, and what goes elsewhere, is stored: no secret may be in it."""
        if step.action not in _STORED:
            return
        for name, argument in arguments.items():
            if isinstance(argument, ByReference):
                self.problem((*place, "with", name), "found valueFrom, expected a value: it is stored")

    def refuse_references_of_cached(
        self,
        step: Step,
        arguments: Mapping[str, Template | ByReference],
        files: Mapping[str, Template | ByReference],
        place: Path,
    ) -> None:
        """What is behind a reference is no part of the key: another secret would give the old output."""
        given = ((field, items) for field, items in (("with", arguments), ("files", files)) if step.cache)
        for field, items in given:
            for name, item in items.items():
                if isinstance(item, ByReference):
                    self.problem(
                        (*place, field, name), "found valueFrom, expected a value: the step has a cache"
                    )

    def schema(self, step: Step, place: Path) -> object:
        """The validator of an output; None where there is none."""
        try:
            if step.approval is not None and step.approval.form is not None:
                compile_inputs(step.approval.form)
        except InvalidSchema as error:
            self.problem((*place, "approval", "form", *error.path), error.message)
        try:
            return None if step.output_schema is None else compile_output(step.output_schema)
        except InvalidSchema as error:
            self.problem((*place, "outputSchema", *error.path), error.message)
            return None
