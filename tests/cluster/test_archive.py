"""What ran is read from the journal when its object is gone, by whom its object was read."""

import asyncio
import json

from live import Cluster, User, python


async def test_an_execution_that_was_deleted_is_shown_with_its_steps_outputs_and_log(
    cluster: Cluster, user: User
) -> None:
    step = python(
        "a", "def main(at):\n    print('seen', at)\n    return at", **{"with": {"at": "${inputs.at}"}}
    )
    schema = {"type": "object", "properties": {"at": {"type": "integer"}}}
    await cluster.workflow("flow", [step], inputs=schema, outputs={"at": "${steps.a.output}"})
    name = await cluster.execute("flow", inputs={"at": 7})
    await cluster.until(name, lambda obj: (obj.get("status") or {}).get("finishedAt"))
    uid = (await cluster.get(name))["metadata"]["uid"]
    assert json.loads(user.citadel("get", "--archived", "-o", "json"))["items"] == []
    user.kubectl("delete", "execution", name)
    async with asyncio.timeout(20):
        while True:
            items = json.loads(user.citadel("get", "--archived", "-o", "json"))["items"]
            if items:
                break
            await asyncio.sleep(0.5)
    (item,) = items
    assert (item["metadata"]["name"], item["metadata"]["uid"]) == (name, uid)
    assert (item["spec"]["workflowRef"]["name"], item["status"]["phase"]) == ("flow", "Succeeded")
    shown = json.loads(user.citadel("get", name, "--archived", "-o", "json"))
    assert shown["spec"]["inputs"] == {"at": 7}
    assert [(one["name"], one["status"]) for one in shown["status"]["steps"]] == [("a", "Succeeded")]
    assert json.loads(user.citadel("get", name, "--archived", "--outputs")) == {"at": 7}
    assert user.citadel("logs", name, "--archived") == "a | seen 7\n"
