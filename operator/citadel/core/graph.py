"""Order among steps: a graph of names. Knows nothing of what a step does."""

from collections.abc import Mapping, Sequence


def find_cycle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """A cycle as the names along it, the first repeated at the end; None when there is none.

    `after[x]` are the names x waits for; names that are no keys are ignored. Iterative, so that a long chain
    cannot exhaust the stack.
    """
    done: set[str] = set()
    for root in after:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            name, position = stack.pop()
            if position == 0:
                if name in done:
                    continue
                path.append(name)
                on_path.add(name)
            followers = after.get(name, ())
            for index in range(position, len(followers)):
                follower = followers[index]
                if follower in on_path:
                    return (*path[path.index(follower) :], follower)
                if follower not in done and follower in after:
                    stack.append((name, index + 1))
                    stack.append((follower, 0))
                    break
            else:
                done.add(name)
                on_path.discard(name)
                path.pop()
    return None


def dependents(after: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For every name, those that wait for it, in the order of `after`."""
    result: dict[str, list[str]] = {name: [] for name in after}
    for name, needed in after.items():
        for dependency in needed:
            result[dependency].append(name)
    return {name: tuple(waiting) for name, waiting in result.items()}
