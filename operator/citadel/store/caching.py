"""What a process remembers of the journal so that a warm step loads nothing; never needed to be right."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(_: object) -> int:
    return 1


class Lru(Generic[K, V]):
    """The entries used last: at most `entries` of them, whose weights add up to at most `weight`."""

    def __init__(self, entries: int, weight: int | None = None, weigh: Callable[[V], int] = _one) -> None:
        self._entries = entries
        self._limit = weight
        self._weigh = weigh
        self._weight = 0
        self._found: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: K) -> V | None:
        """The entry, which now is the one used last."""
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        """Remembers an entry, and forgets those used longest ago; one that is too heavy alone is not kept."""
        self.drop(key)
        self._found[key] = value
        self._weight += self._weigh(value)
        while len(self._found) > self._entries or (self._limit is not None and self._weight > self._limit):
            _, old = self._found.popitem(last=False)
            self._weight -= self._weigh(old)

    def drop(self, key: K) -> None:
        """Forgets an entry."""
        old = self._found.pop(key, None)
        if old is not None:
            self._weight -= self._weigh(old)

    def clear(self) -> None:
        """Forgets all of them."""
        self._found.clear()
        self._weight = 0
