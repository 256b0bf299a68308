"""What steps need of other processes of ours: calls of models and tools, and grants of agents."""

from citadel.controller.asking import Asking, Calling
from citadel.controller.granting import Granting
from citadel.core.state import State
from citadel.kube.resources import Object


class Outside:
    """Places all of it."""

    def __init__(self, models: Asking, tools: Calling, agents: Granting) -> None:
        self._models, self._tools, self.agents = models, tools, agents

    async def follow(self, obj: Object, state: State) -> tuple[State, float | None]:
        """What an Execution needs now; its state then, and seconds after which to look again."""
        state, of_agents = await self.agents.follow(obj, state)
        state, of_models = await self._models.follow(obj, state)
        state, of_tools = await self._tools.follow(obj, state)
        pauses = (pause for pause in (of_agents, of_models, of_tools) if pause is not None)
        return state, min(pauses, default=None)

    async def gone(self, uid: str) -> None:
        """The object of an execution is gone, and whatever ran of it was ended."""
        self._models.gone(uid)
        self._tools.gone(uid)
        await self.agents.gone(uid)
