"""What a process remembers stays within its bounds."""

from citadel.store.caching import Lru


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    cache: Lru[str, int] = Lru(entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_weights_are_bounded_together() -> None:
    cache: Lru[str, str] = Lru(entries=100, weight=10, weigh=len)
    for key in "abcd":
        cache.put(key, "xxxx")
    assert [key for key in "abcd" if cache.get(key)] == ["c", "d"]
    cache.put("c", "y")
    cache.put("e", "zzzzz")
    assert [key for key in "abcde" if cache.get(key)] == ["c", "d", "e"]


def test_what_is_too_heavy_alone_is_not_kept() -> None:
    cache: Lru[str, str] = Lru(entries=100, weight=10, weigh=len)
    cache.put("a", "x" * 11)
    assert cache.get("a") is None
    cache.put("b", "x" * 10)
    assert cache.get("b") == "x" * 10


def test_what_is_dropped_weighs_nothing() -> None:
    cache: Lru[str, str] = Lru(entries=100, weight=10, weigh=len)
    cache.put("a", "x" * 10)
    cache.drop("a")
    cache.drop("a")
    cache.put("b", "x" * 10)
    assert (cache.get("a"), cache.get("b"), len(cache)) == (None, "x" * 10, 1)


def test_nothing_is_left_of_what_is_cleared_and_none_of_its_weight() -> None:
    cache: Lru[str, str] = Lru(entries=100, weight=10, weigh=len)
    cache.put("a", "x" * 10)
    cache.clear()
    cache.put("b", "x" * 10)
    assert (cache.get("a"), cache.get("b"), len(cache)) == (None, "x" * 10, 1)
