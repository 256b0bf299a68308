"""The cache: what it keeps, what it forgets, and that lists and watches may overtake each other."""

from typing import Any

import pytest

from citadel.kube.cache import Cache, Key, trim
from citadel.kube.resources import CONFIGMAPS, EXECUTIONS, PODS, Object


def obj(name: str, version: int, namespace: str = "a", **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version), **metadata}}


def names(cache: Cache) -> set[str]:
    return {found["metadata"]["name"] for found in cache.objects(EXECUTIONS)}


def test_kinds_namespaces_and_names_tell_objects_apart() -> None:
    cache = Cache()
    for resource in (EXECUTIONS, CONFIGMAPS):
        for namespace in ("a", "b"):
            assert cache.put(resource, obj("x", 1, namespace, kind=resource.plural))
    found = cache.get(CONFIGMAPS, "b", "x")
    assert found is not None
    assert (found["metadata"]["kind"], found["metadata"]["namespace"]) == ("configmaps", "b")
    assert cache.get(CONFIGMAPS, "c", "x") is None
    assert (cache.count(CONFIGMAPS), cache.count(PODS)) == (2, 0)


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param([("put", 5), ("put", 4)], 5, id="an older object does not replace a newer one"),
        pytest.param([("put", 5), ("put", 6)], 6, id="a newer one does"),
        pytest.param([("put", 5), ("delete", 6)], None, id="a deletion removes"),
        pytest.param([("put", 5), ("delete", 6), ("put", 5)], None, id="a late event does not bring it back"),
        pytest.param([("put", 5), ("delete", 6), ("put", 7)], 7, id="an object made anew is taken"),
        pytest.param([("put", 7), ("delete", 6)], 7, id="a late deletion does not remove its successor"),
        pytest.param([("put", 5), ("list", 4)], 5, id="a list from before the object was made keeps it"),
        pytest.param([("put", 5), ("list", 6)], None, id="a list from after it sweeps it"),
        pytest.param(
            [("put", 5), ("delete", 9), ("listed", 8)], None, id="a late list does not bring it back"
        ),
        pytest.param(
            [("put", 5), ("delete", 9), ("last word", 8)], 8, id="a list without version is the last word"
        ),
        pytest.param([("put", 9), ("listed", 8)], 9, id="a late list does not make it older"),
        pytest.param([("put", 7), ("listed", 8)], 8, id="a newer list is taken"),
        pytest.param(
            [("put", 5), ("delete", 6), ("list", 7), ("put", 8)], 8, id="tombstones end with a list"
        ),
    ],
)
def test_the_newest_knowledge_wins(steps: list[tuple[str, int]], left: int | None) -> None:
    cache = Cache()
    for step, version in steps:
        if step == "put":
            cache.put(EXECUTIONS, obj("x", version))
        elif step == "delete":
            cache.delete(EXECUTIONS, obj("x", version))
        elif step == "list":
            cache.replace(EXECUTIONS, [], str(version))
        else:
            cache.replace(EXECUTIONS, [obj("x", version)], str(version) if step == "listed" else "")
    found = cache.get(EXECUTIONS, "a", "x")
    assert (None if found is None else int(found["metadata"]["resourceVersion"])) == left


def test_a_list_tells_what_is_gone_and_touches_only_its_kind() -> None:
    cache = Cache()
    cache.put(CONFIGMAPS, obj("one", 1))
    for number, name in enumerate(("one", "two", "three"), 1):
        cache.put(EXECUTIONS, obj(name, number))
    assert cache.replace(EXECUTIONS, [obj("two", 2), obj("four", 4)], "9") == [
        Key("a", "one"),
        Key("a", "three"),
    ]
    assert names(cache) == {"two", "four"}
    assert cache.replace(EXECUTIONS, []) == [Key("a", "two"), Key("a", "four")]
    assert cache.count(CONFIGMAPS) == 1


def test_what_nobody_reads_is_not_kept() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "a",
            "uid": "u",
            "resourceVersion": "1",
            "annotations": {"k": "v"},
            "labels": {"l": "m"},
            "creationTimestamp": "t",
            "deletionTimestamp": "d",
            "managedFields": [{}],
            "ownerReferences": [{}],
        },
        "spec": {"nodeName": "n", "containers": [{}]},
        "status": {"phase": "Running"},
    }
    kept = trim(PODS, pod)
    assert kept["spec"] == {"nodeName": "n"}
    assert kept["status"] == {"phase": "Running"}
    assert set(pod["metadata"]) - set(kept["metadata"]) == {"managedFields", "ownerReferences"}
    assert "managedFields" in pod["metadata"]
    execution = trim(EXECUTIONS, {"metadata": {"name": "e", "managedFields": []}, "spec": {"deep": {"x": 1}}})
    assert execution == {"metadata": {"name": "e"}, "spec": {"deep": {"x": 1}}}


def test_ages_tell_when_a_kind_was_last_heard_of() -> None:
    now = 100.0
    cache = Cache(lambda: now)
    assert cache.objects(PODS) == []
    assert cache.ages() == {PODS: None}
    cache.put(EXECUTIONS, obj("x", 1))
    now = 130.0
    cache.touch(PODS)
    now = 140.0
    assert cache.ages() == {PODS: 10.0, EXECUTIONS: 40.0}
