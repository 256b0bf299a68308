"""Calls of tools that need nothing of the cluster: whoever advances an execution leaves them with it, to be
made. Those with a credential the controller places, which alone may read it.
"""

from collections.abc import Iterable, Iterator

from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.tools import WantedTool, body_of, wanted_by
from citadel.store.calls import PlacedCall
from citadel.store.journal import load_arguments
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
    body = body_of(call, await load_arguments(call.payload, load))
    hosts = (str(call.tool.destination),)
    return PlacedCall(state.created.uid, call.step, call.attempt, state.created.namespace, body, hosts)
