"""This machine as the place where steps run: its languages, its containers, and what keeps steps from it."""

from collections.abc import Callable, Iterable, Mapping

from citadel.core.placing import Placement
from citadel.local.building import Programs
from citadel.local.containers import ContainerSandbox
from citadel.local.engine import Engine, find
from citadel.local.equipping import Kits
from citadel.local.isolation import Isolation
from citadel.local.languages import Language
from citadel.local.lending import Kept, Lent
from citadel.local.sandbox import LocalSandbox
from citadel.local.sandboxes import Sandbox
from citadel.local.tools import AGENT, Tools, cache_folder


class Machine:
    """Makes sandboxes of the languages that it has, and containers."""

    def __init__(
        self,
        isolation: Isolation | None = None,
        say: Callable[[str], None] = lambda text: None,
        agents: Kept | None = None,
    ) -> None:
        """`say` is told what takes its time before anything runs; `agents`: interpreters of another's."""
        self._agents = agents or Kept()
        self.isolation = isolation or Isolation()
        self.tools = Tools()
        cache = cache_folder()
        self._kits, self._programs = Kits(cache / "kits", say), Programs(cache / "programs")
        self._languages: dict[str, Language] = {}
        self._engine: Engine | None = None

    def engine(self) -> Engine:
        """What runs containers here, asked for once; raises EngineError."""
        self._engine = self._engine or find()
        return self._engine

    def equip(self, wanted: Mapping[str, Iterable[str]]) -> None:
        """Makes ready for steps in these languages, each with their sources; raises ToolMissing."""
        for name, sources in wanted.items():
            self._languages[name] = self._kits.language(self.tools.get(name), sources)

    def for_agents(self) -> Sandbox:
        """One for an attempt of an agent, not yet started; raises ToolMissing."""
        if AGENT not in self._languages:
            self.equip({AGENT: ()})
        language = self._languages[AGENT]
        return Lent(self._agents, lambda: LocalSandbox(language, self._programs, self.isolation))

    def sandbox(self, placement: Placement) -> Sandbox:
        """One for the steps of a placement, not yet started; raises ToolMissing."""
        if "language" not in placement.template:
            return ContainerSandbox(placement, self.engine)
        if placement.template.get("agent"):
            return self.for_agents()
        name = placement.template["language"]
        if name not in self._languages:
            self.equip({name: ()})
        return LocalSandbox(self._languages[name], self._programs, self.isolation, bool(placement.egress))
