"""The archive through the API: what outlives its object, for whom, and not for those who came later."""

from datetime import UTC, datetime
from typing import Any

from build import begin, chain, created, definition, python_step, succeeded
from citadel.core import events as ev
from component.web.test_api import Api, api

__all__ = ["api"]  # the fixture

LIST = "/api/v1/namespaces/team/executions?archived=true"


async def ended(api: Api, uid: str = "uid-1", name: str = "run", output: Any = "done") -> None:
    """An execution that has succeeded, and whose object is gone."""
    document = definition(python_step("s0"), outputs={"said": "${steps.s0.output}"})
    journal = api.database.journal
    await journal.advance(uid, [created(uid, document, {"at": 1}, name)], definition=document)
    (sandbox,) = (await journal.read(uid)).sandboxes
    await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
    await journal.advance(uid, [succeeded("s0", sandbox, output)])
    await api.database.archive.mark([uid])


async def namespace(api: Api, made: str) -> None:
    metadata = {"name": "team", "creationTimestamp": made}
    await api.cluster.change("ADDED", "/api/v1/namespaces/team", {"metadata": metadata})


async def listed(api: Api, user: str = "auditor") -> list[str]:
    async with api.client.get(api.url + LIST, headers={"Authorization": f"Bearer {user}"}) as answer:
        assert answer.status == 200, await answer.text()
        return [item["metadata"]["uid"] for item in (await answer.json())["items"]]


async def test_an_execution_without_an_object_is_read_as_the_object_that_it_was(api: Api) -> None:
    await namespace(api, "2020-01-01T00:00:00Z")
    await ended(api)
    assert await listed(api) == ["uid-1"]
    found = await api.json("?archived=true")
    (step,) = found["steps"]
    assert (step["name"], step["status"]) == ("s0", "Succeeded")
    obj = found["object"]
    assert obj["metadata"] | {"creationTimestamp": ""} == {
        "name": "run", "namespace": "team", "uid": "uid-1", "creationTimestamp": ""
    }  # fmt: skip
    assert obj["spec"] == {"workflowRef": {"name": "flow"}, "inputs": {"at": 1}}
    status = obj["status"]
    assert (status["phase"], status["outputs"], status["progress"]["text"]) == (
        "Succeeded",
        {"said": "done"},
        "1/1",
    )
    assert await api.json("/outputs?archived=true") == {"said": "done"}
    assert (await api.get("/logs?archived=true"))[0] == 200
    assert (await api.get("/connections?archived=true"))[0] == 200


async def test_of_several_of_one_name_the_newest_is_meant_and_never_one_that_has_its_object(api: Api) -> None:
    await namespace(api, "2020-01-01T00:00:00Z")
    await ended(api, "old", output="first")
    await ended(api, "new", output="second")
    await begin(api.database.journal, chain(1), "uid-1")
    assert await listed(api) == ["new", "old"]
    assert await api.json("/outputs?archived=true") == {"said": "second"}
    assert await api.json("/outputs") is None


async def test_the_archive_asks_the_cluster_as_everything_does(api: Api) -> None:
    await namespace(api, "2020-01-01T00:00:00Z")
    await ended(api)
    paths = ("?archived=true", "/outputs?archived=true", "/logs?archived=true")
    for user, statuses in (("stranger", [403] * 3), ("reader", [200, 200, 403]), ("nobody", [401] * 3)):
        assert [(await api.get(path, user))[0] for path in paths] == statuses
    async with api.client.get(api.url + LIST, headers={"Authorization": "Bearer stranger"}) as answer:
        assert answer.status == 403
        assert await answer.text() == "user stranger may not list executions in namespace team"


async def test_what_ran_before_the_namespace_was_made_is_nobodys_there(api: Api) -> None:
    await ended(api)
    await namespace(api, datetime.fromtimestamp(datetime.now(UTC).timestamp() + 60, UTC).isoformat())
    assert await listed(api) == []
    status, text = await api.get("?archived=true")
    assert (status, text) == (404, "Execution run is not in the archive of namespace team")


async def test_what_is_wanted_of_the_archive_is_said(api: Api) -> None:
    async with api.client.get(
        api.url + LIST.partition("?")[0], headers={"Authorization": "Bearer reader"}
    ) as answer:
        assert (answer.status, await answer.text()) == (
            400,
            "archived: expected true; the API server lists the others",
        )
