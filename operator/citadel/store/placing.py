"""Calls of tools that need nothing of the cluster: whoever advances an execution leaves them with it, to be
made. Those with a credential the controller places, which alone may read it.
"""

from collections.abc import Iterable, Iterator

from citadel.core import events as ev
from citadel.core.children import digests, inputs_of
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.core.tools import WantedTool, body_of, wanted_by
from citadel.core.values import Stored, Value, Values
from citadel.store.calls import PlacedCall
from citadel.store.stepping import Load


def placeable(state: State, events: Iterable[ev.Event]) -> Iterator[WantedTool]:
    """The calls that events have brought about, and that are without a credential."""
    for event in events:
        if isinstance(event, ev.ToolWanted) and not state.stopping:
            call = wanted_by(state, event.step)
            if call is not None and call.tool.credential is None:
                yield call


async def placed(state: State, call: WantedTool, load: Load) -> PlacedCall:
    """A call with all that it needs."""
    assert state.created is not None
    body = body_of(call, await _arguments(call.payload, load))
    hosts = (str(call.tool.destination),)
    return PlacedCall(state.created.uid, call.step, call.attempt, state.created.namespace, body, hosts)


async def _arguments(payload: Value, load: Load) -> dict[str, Json]:
    values = Values()
    if isinstance(payload, Stored):
        values.loaded.update(await load([payload.digest]))
    held = values.get(payload)
    if named := digests(held):
        values.loaded.update(await load(named))
    return inputs_of(held, values)
