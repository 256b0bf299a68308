"""Who may have a sandbox next: room in the cluster and in each namespace, fair between namespaces. Pure.

A namespace with the fewest live sandboxes comes first, then who waits longest. Members of pools come last,
and only into room that nobody waits for. Agents leave some room: they wait for what they call, and if they
took all of it nothing would ever go on.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from citadel.core.agentsteps import MAX_DEPTH
from citadel.store.sandboxes import SandboxRow


@dataclass(frozen=True)
class Limits:
    """Live sandboxes at most."""

    cluster: int
    namespace: int


@dataclass
class Room:
    """What is known of rows: which take room, and which wait for it."""

    limits: Limits
    taken: dict[str, str] = field(default_factory=dict)
    """Sandboxes that have a pod, or get one: the namespace that they serve, empty for members of pools."""
    queued: dict[str, SandboxRow] = field(default_factory=dict)

    def see(self, name: str, row: SandboxRow | None) -> None:
        """A row as it is now."""
        if row is None or row.status == "gone":
            self.taken.pop(name, None)
        elif row.pod_uid is not None or name in self.taken:
            self.taken[name] = row.namespace if row.uid is not None else ""
        if row is None or row.status != "wanted" or row.pod_uid is not None:
            self.queued.pop(name, None)

    def wait(self, row: SandboxRow) -> None:
        """The sandbox waits for room."""
        self.queued[row.name] = row

    def take(self, row: SandboxRow) -> None:
        """The sandbox gets its pod."""
        self.queued.pop(row.name, None)
        self.taken[row.name] = row.namespace if row.uid is not None else ""

    def leave(self, name: str) -> None:
        """The sandbox did not get its pod."""
        self.taken.pop(name, None)

    def live(self, pods: Mapping[str, bool]) -> dict[str, str]:
        """Sandboxes that take room; `pods` says of the pods that are known whether they still run."""
        found = {name: namespace for name, namespace in self.taken.items() if pods.get(name, True)}
        return {name: "" for name, lives in pods.items() if lives} | found

    def admitted(self, pods: Mapping[str, bool]) -> list[str]:
        """Who of those that wait may start now, in this order."""
        live = self.live(pods)
        counts = Counter(live.values())
        free = self.limits.cluster - len(live)
        if free <= 0:
            return []
        queue = sorted(self.queued.values(), key=lambda row: (row.wanted_at, row.name))
        members = [row.name for row in queue if row.uid is None]
        # Those of one line leave equally much room: the first of it stands for all.
        lines: dict[tuple[str, int], deque[SandboxRow]] = {}
        for row in queue:
            if row.uid is not None:
                lines.setdefault((row.namespace, _levels(row)), deque()).append(row)
        found: list[str] = []
        while len(found) < free:
            ready = [
                (counts[space], line[0].wanted_at, space, levels)
                for (space, levels), line in lines.items()
                if counts[space] + _kept(levels, self.limits.namespace) < self.limits.namespace
                and len(found) + _kept(levels, self.limits.cluster) < free
            ]
            if not ready:
                break
            _, _, space, levels = min(ready)
            line = lines[space, levels]
            found.append(line.popleft().name)
            counts[space] += 1
            if not line:
                del lines[space, levels]
        return found + members[: max(0, free - len(found))]

    def lacking(self, pods: Mapping[str, bool]) -> int:
        """How many sandboxes of executions wait for room that members of pools could give up."""
        counts = Counter(self.live(pods).values())
        most = self.limits.namespace
        waiting = [row for row in self.queued.values() if row.uid is not None]
        waiting = [row for row in waiting if counts[row.namespace] + _kept(_levels(row), most) < most]
        wanted = Counter(row.namespace for row in waiting)
        able = sum(min(n, max(0, most - counts[space])) for space, n in wanted.items())
        return max(0, able - max(0, self.limits.cluster - len(self.live(pods))))

    def reason(self, row: SandboxRow, pods: Mapping[str, bool]) -> str | None:
        """Why a sandbox waits, for people; None while it is only its turn that it waits for."""
        live = self.live(pods)
        if len(live) >= self.limits.cluster:
            return f"{self.limits.cluster} sandboxes are live, which is the limit of this installation"
        mine = sum(1 for namespace in live.values() if namespace == row.namespace)
        if row.uid is not None and mine >= self.limits.namespace:
            return f"{mine} sandboxes of namespace {row.namespace} are live, which is its limit"
        for title, used, most in (
            (f"namespace {row.namespace}", mine, self.limits.namespace),
            ("this installation", len(live), self.limits.cluster),
        ):
            if row.uid is not None and used + _kept(_levels(row), most) >= most:
                return f"{used} sandboxes of {title} are live, and the rest to {most} is for what agents call"
        return None


def _levels(row: SandboxRow) -> int:
    """How many levels of calls an agent may wait for; 0 for what waits for none."""
    template = row.template
    return max(1, MAX_DEPTH - template.get("agentsAround", 0)) if template.get("agent") else 0


def _kept(levels: int, limit: int) -> int:
    """The room that is kept for what an agent may call."""
    return min(levels, limit // 2)
