"""Steps compiled: one list of all steps of a workflow, inner ones and hidden ones included."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from citadel.api.step import Step
from citadel.core.checking import Path, Sight, hard_reads
from citadel.core.compiled import FINALLY, Cases, CompiledStep
from citadel.core.expressions import Expression, Read
from citadel.core.graph import find_cycle
from citadel.core.instances import COMPENSATE, ON_ERROR, around
from citadel.core.parts import ITERATION, PartCompiler
from citadel.core.templates import Template

#: Levels of steps within steps, handlers included.
MAX_DEPTH = 8


class StepCompiler(PartCompiler):
    """Compiles the steps of one workflow, collecting every problem instead of stopping at the first."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled: dict[str, CompiledStep] = {}
        self._reads: dict[str, frozenset[str]] = {}
        """Definition paths that each step refers to."""

    def compile(self, steps: Sequence[Step], final: Sequence[Step]) -> dict[str, CompiledStep]:
        """All steps by definition path, in the order of their definition; what is wrong is in `problems`."""
        sight = self._scope("", "", steps, ("spec", "steps"), Sight("", {}))
        self._scope(FINALLY, "", final, ("spec", "finally"), sight)
        self._wait_for_what_is_read()
        if not self.problems:
            self._refuse_cycles()
        return self.compiled

    def _scope(self, scope: str, prefix: str, steps: Sequence[Step], place: Path, sight: Sight) -> Sight:
        """Compiles steps that stand in one list; returns what can be seen among them."""
        own: dict[str, str] = {}
        if prefix.count(".") > MAX_DEPTH:
            self.problem(place, f"found steps nested more than {MAX_DEPTH} levels deep")
            return sight
        for index, step in enumerate(steps):
            at = (*place, index, "name")
            if step.name in own:
                first = next(i for i, other in enumerate(steps) if other.name == step.name)
                message = f"found {step.name!r}, which is also the name of steps[{first}]; names are unique"
                self.problem(at, message)
            elif step.name in sight.names:
                message = f"found {step.name!r}, which a step around it is called; expected a name of its own"
                self.problem(at, message)
            own[step.name] = f"{prefix}{step.name}"
            self.specs[own[step.name]] = step
        sight = replace(sight, names={**sight.names, **own})
        for index, step in enumerate(steps):
            above = (own[steps[index - 1].name],) if index else ()
            path = own[step.name]
            needs = above if step.needs is None else tuple(self._needs(step, (*place, index), own, path))
            self._step(step, path, scope, needs, (*place, index), replace(sight, reader=path))
        return sight

    def _needs(self, step: Step, place: Path, own: Mapping[str, str], path: str) -> Iterator[str]:
        for position, name in enumerate(step.needs or ()):
            self.known((*place, "needs", position), name, Sight(path, own))
            if name in own and step.needs is not None and name not in step.needs[:position]:
                yield own[name]

    def _step(
        self, step: Step, path: str, scope: str, needs: tuple[str, ...], place: Path, sight: Sight
    ) -> None:
        index = len(self.compiled)
        inner = sight.also(*_roots_of(step))
        when = None
        if step.when is not None:
            asked_in = sight.also("item", "index") if step.for_each is not None else sight
            when = self.expression((*place, "when"), step.when, asked_in)
        arguments = self.arguments((*place, "with"), step.arguments, inner)
        self.refuse_references(step, arguments, place)
        env = tuple(self.env(step, place, inner))
        files, taken, left = self.parcels(step, place, inner)
        self.refuse_references_of_cached(step, arguments, files, place)
        cache = None if step.cache is None else self.template((*place, "cache", "key"), step.cache.key, inner)
        switch, wait = self.switch(step, place, inner), self.wait(step, place, inner)
        loop, question = self.loop(step, place, sight), self.question(step, place, inner)
        given = (*arguments.values(), *files.values(), *question.values())
        templates = [item for item in given if isinstance(item, Template)]
        reads = _reads([*templates, *(template for _, template in env), when, cache, wait])
        soft = _reads([loop.items if loop else None, *(_parts(switch) if switch else ())])
        takes_of = frozenset(source.step for source in taken.values())
        names = {read.step: sight.names[read.step] for read in reads | soft if read.step in sight.names}
        hard = hard_reads(reads) | hard_reads(_reads([loop.items if loop else None]))
        # Who has no output has left no artifact either.
        hard_paths = frozenset(sight.names[name] for name in hard if name in sight.names) | takes_of
        self._reads[path] = frozenset(names.values()) | takes_of
        self.compiled[path] = CompiledStep(
            spec=step,
            index=index,
            needs=needs,
            references=frozenset(),
            hard_reads=hard_paths,
            when=when,
            arguments=arguments,
            env=env,
            timeout=self.timeout((*place, "timeout"), step.timeout),
            files=files,
            taken=taken,
            left=left,
            path=path,
            scope=scope,
            names=sight.names,
            place=place,
            loop=loop,
            switch=switch,
            wait=wait,
            question=question,
            per_item=when is not None and step.for_each is not None and bool(when.names & _ITEM),
            cache=cache,
            schema=self.schema(step, place),
        )
        changed = self._inner(step, path, place, sight, inner)
        self.compiled[path] = replace(self.compiled[path], **changed)

    def _inner(self, step: Step, path: str, place: Path, outside: Sight, sight: Sight) -> dict[str, Any]:
        """Compiles what stands below a step; returns what the step has to know of it.

        `outside` is what is seen around the step, `sight` what is seen in each turn of it.
        """
        changed: dict[str, Any] = {}
        if step.steps is not None:
            changed = self._group(step.steps, step.output, path, (*place, "steps"), place, sight)
        if step.on_error is not None:
            handler = changed["handler"] = f"{path}.{ON_ERROR}"
            spec = Step.model_construct(name=ON_ERROR, steps=step.on_error.steps, output=step.on_error.output)
            # A `repeat` is handled as a whole.
            handles = sight if step.repeat is None else outside
            self._hidden(spec, handler, (*place, "onError"), replace(handles.also("error"), reader=handler))
            inner = self._group(
                step.on_error.steps,
                step.on_error.output,
                handler,
                (*place, "onError", "steps"),
                (*place, "onError"),
                replace(handles.also("error"), reader=handler),
            )
            self.compiled[handler] = replace(self.compiled[handler], **inner)
        if step.compensate is not None:
            undo = changed["compensation"] = f"{path}.{COMPENSATE}"
            given = step.compensate
            spec = Step.model_construct(
                name=COMPENSATE,
                run=given.run,
                container=given.container,
                workflow=given.workflow,
                arguments=given.arguments,
                retry=given.retry,
                timeout=given.timeout,
                network=given.network,
            )
            self._hidden(spec, undo, (*place, "compensate"), replace(sight.also("output"), reader=undo))
        return changed

    def _group(
        self,
        steps: Sequence[Step],
        output: object,
        path: str,
        steps_place: Path,
        place: Path,
        sight: Sight,
    ) -> dict[str, Any]:
        inside = self._scope(path, f"{path}.", steps, steps_place, sight)
        reader = replace(inside, reader="")
        template = self.template((*place, "output"), output, reader)  # type: ignore[arg-type]
        if template is not None:
            self._reads[path] |= inside.paths(template.reads)
        children = tuple(f"{path}.{step.name}" for step in steps)
        return {"children": children, "output": template, "names": inside.names}

    def _hidden(self, spec: Step, path: str, place: Path, sight: Sight) -> None:
        """A step that nobody waits for: it begins when the engine says so."""
        self._step(spec, path, path.rpartition(".")[0], (), place, sight)

    def _wait_for_what_is_read(self) -> None:
        """A step waits for every step beside it that it, or anything within it, refers to."""
        waits: dict[str, set[str]] = {path: set() for path in self.compiled}
        for path, read in self._reads.items():
            for other in read:
                if (beside := ancestor_beside(path, self.compiled[other].scope, self.compiled)) is not None:
                    waits[beside].add(other)
        for path, step in self.compiled.items():
            self.compiled[path] = replace(step, references=frozenset(waits[path] - {path}))

    def _refuse_cycles(self) -> None:
        after = {path: step.after for path, step in self.compiled.items()}
        if cycle := find_cycle(after):
            message = f"found a cycle: {' needs '.join(cycle)}"
            self.problem(self.compiled[cycle[0]].place, message)


_ITEM = frozenset(("item", "index"))


def _roots_of(step: Step) -> Iterable[str]:
    """What a step's own expressions see of its loop."""
    if step.for_each is not None:
        return _ITEM
    return ITERATION if step.repeat is not None else ()


def ancestor_beside(path: str, scope: str, steps: Mapping[str, CompiledStep]) -> str | None:
    """The step of `scope` that `path` is, or is within; None if it is in another one."""
    return next((name for name in (path, *around(path)) if steps[name].scope == scope), None)


def _reads(found: Iterable[Template | Expression | None]) -> frozenset[Read]:
    return frozenset(read for item in found if item is not None for read in item.reads)


def _parts(switch: Cases) -> Iterator[Template | Expression]:
    for when, value in switch.cases:
        yield when
        yield value
    if switch.default is not None:
        yield switch.default
