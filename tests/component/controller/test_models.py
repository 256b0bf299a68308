"""Models and the calls that steps want: found, checked, sealed to the model gateway, and placed once."""

import asyncio
import base64
import json
from typing import Any

from nacl.public import PrivateKey, SealedBox

from citadel.core import events as ev
from citadel.core.spending import DOLLAR, Amount, Reservation
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from component.controller.agentworld import (
    SCRIPTED,
    public_key,
    secret,
)
from component.controller.cluster import Cluster

KEY = PrivateKey.generate()
SESAME = "sk-open-sesame"
ANTHROPIC = {
    "provider": "anthropic",
    "model": "m",
    "credential": {"secretKeyRef": {"name": "paid", "key": "key"}},
}
ASK = {"name": "ask", "llm": {"model": "writer", "prompt": "hello ${inputs.name}"}}
INPUTS = {"type": "object", "properties": {"name": {"type": "string", "default": "Ada"}}}


async def prepare(cluster: Cluster) -> None:
    """The key of the model gateways, and a controller that leads."""
    await public_key(cluster, "models", KEY)
    await cluster.lead()


async def placed(cluster: Cluster) -> PlacedCall:
    """The call that waits to be made."""
    async with asyncio.timeout(8):
        while True:
            taken = await cluster.database.model_calls.take("test", {"token": "hash"}, 60)
            if taken:
                return taken[0][0]
            await asyncio.sleep(0.01)


async def allow(cluster: Cluster, *egress: str, **spec: Any) -> None:
    path = "/apis/citadel.dev/v1alpha1/executionpolicies/p"
    obj = {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "ExecutionPolicy",
        "metadata": {"name": "p", "generation": 1},
        "spec": {"egress": {"allow": list(egress)}, **spec},
    }
    await cluster.api.change("ADDED", path, obj)


def told(cluster: Cluster, name: str = "writer") -> str:
    """Why a Model is not ready."""
    conditions = cluster.status(name, "models").get("conditions") or ()
    return next(
        (f"{item['reason']}: {item['message']}" for item in conditions if item["type"] == "Ready"), ""
    )


async def test_a_call_is_placed_with_its_model_and_who_pays_and_its_answer_ends_the_step(
    cluster: Cluster,
) -> None:
    await prepare(cluster)
    await allow(cluster, "x.example.com:443", budget={"costPerDay": "2"})
    await cluster.apply("models", "writer", SCRIPTED)
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")
    await cluster.define(ASK, inputs=INPUTS, budget={"cost": "0.5"}, outputs={"said": "${steps.ask.output}"})
    uid = await cluster.submit()
    call = await placed(cluster)
    assert (call.key, call.namespace, call.hosts, call.sealed) == ((uid, "ask", 1), "team", (), None)
    assert [item["key"] for item in call.body["models"]] == ["team/writer"]
    accounts = [(item["key"], item["cost"]) for item in call.body["accounts"]]
    dollar = 10**12
    assert accounts == [("day:team", None), ("day:team", 2 * dollar), (f"execution:{uid}", dollar // 2)]
    usage = ev.Usage("writer", "scripted", 20, 5, 3 * 10**9)
    await cluster.database.journal.advance(uid, [ev.ModelAnswered("ask", 1, Inline("hi"), None, usage)])
    status = await cluster.phase("Succeeded")
    assert status["outputs"] == {"said": "hi"}
    expected = {"inputTokens": 20, "outputTokens": 5, "totalTokens": 25, "cost": "0.003", "estimated": False}
    assert status["usage"] == expected


async def test_a_credential_is_sealed_for_its_own_endpoint_and_stands_nowhere_else(cluster: Cluster) -> None:
    await prepare(cluster)
    await secret(cluster, "team", "paid", key=f"{SESAME}\n")
    await allow(cluster, "api.anthropic.com:443")
    await cluster.apply("models", "writer", ANTHROPIC)
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")
    await cluster.define(ASK, inputs=INPUTS)
    await cluster.submit()
    call = await placed(cluster)
    assert call.hosts == ("api.anthropic.com:443",)
    assert call.sealed is not None
    box = base64.b64decode(call.sealed["team/writer"])
    assert json.loads(SealedBox(KEY).decrypt(box)) == {"key": SESAME, "host": "api.anthropic.com:443"}
    assert SESAME not in json.dumps(dict(call.body)) + json.dumps(cluster.status())


async def test_a_secret_goes_nowhere_that_its_annotation_does_not_name(cluster: Cluster) -> None:
    await prepare(cluster)
    await secret(cluster, "team", "paid", key=SESAME)
    await secret(
        cluster, "team", "listed", key=SESAME, hosts=" evil.example.com:443 , other.example.com:8443"
    )
    await allow(cluster, "evil.example.com:443")
    elsewhere = {**ANTHROPIC, "endpoint": "https://evil.example.com"}
    await cluster.apply("models", "writer", elsewhere)
    await cluster.until(lambda: "HostNotAllowed" in told(cluster))
    assert "may be sent to api.anthropic.com:443, not to evil.example.com:443" in told(cluster)
    assert "annotate --overwrite secret paid citadel.dev/hosts=evil.example.com:443" in told(cluster)
    await cluster.define(ASK, inputs=INPUTS)
    await cluster.submit()
    status = await cluster.phase("Failed")
    assert status["reason"] == "HostNotAllowed"
    listed = {"secretKeyRef": {"name": "listed", "key": "key"}}
    await cluster.apply("models", "writer", {**elsewhere, "credential": listed})
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")


async def test_what_bedrock_is_paid_with_is_checked_and_goes_to_amazon_alone(cluster: Cluster) -> None:
    await prepare(cluster)
    endpoint = "https://bedrock-runtime.eu-west-3.amazonaws.com"
    await allow(cluster, "bedrock-runtime.eu-west-3.amazonaws.com:443", "evil.example.com:443")
    await secret(cluster, "team", "paid", key=SESAME)
    await cluster.apply("models", "writer", {**ANTHROPIC, "provider": "bedrock", "endpoint": endpoint})
    await cluster.until(lambda: "SecretNotFound" in told(cluster))
    assert "key key of Secret paid: found no JSON, expected JSON: {accessKeyId" in told(cluster)
    assert SESAME not in told(cluster)
    keys = {"accessKeyId": "AKIA0", "secretAccessKey": SESAME, "region": "eu-west-3"}
    await secret(cluster, "team", "good", key=json.dumps(keys, indent=2))
    good = {
        **ANTHROPIC,
        "provider": "bedrock",
        "credential": {"secretKeyRef": {"name": "good", "key": "key"}},
    }
    await cluster.apply("models", "writer", {**good, "endpoint": "https://evil.example.com"})
    await cluster.until(lambda: "HostNotAllowed" in told(cluster))
    await cluster.apply("models", "writer", {**good, "endpoint": endpoint})
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")


async def test_ready_says_what_is_missing(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("models", "writer", ANTHROPIC)
    await cluster.until(lambda: "SecretNotFound" in told(cluster))
    assert "Model writer, credential: Secret paid does not exist in namespace team" in told(cluster)
    await cluster.apply("models", "writer", {**SCRIPTED, "fallbacks": ["second"]})
    await cluster.until(lambda: "ModelNotFound" in told(cluster))
    assert "fallback of Model writer: Model second exists neither in namespace team" in told(cluster)
    await cluster.apply("models", "second", {**SCRIPTED, "fallbacks": ["writer"]})
    await cluster.until(lambda: "lead back to it" in told(cluster))
    assert "writer > second > writer" in told(cluster)
    await cluster.apply("models", "second", SCRIPTED)
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")
    await cluster.apply("models", "writer", {"provider": "scripted", "script": [{"when": "(", "text": "x"}]})
    await cluster.until(lambda: "script[0].when" in told(cluster))
    await cluster.apply("models", "writer", {"provider": "openai", "model": "m"})
    await cluster.until(lambda: "PolicyDenied" in told(cluster))
    assert "no ExecutionPolicy of namespace team allows egress" in told(cluster)


async def test_ready_says_all_that_is_missing_of_fallbacks_too_and_a_model_is_asked_without_them(
    cluster: Cluster,
) -> None:
    await prepare(cluster)
    await cluster.apply("models", "second", ANTHROPIC)
    await cluster.apply("models", "writer", {**SCRIPTED, "fallbacks": ["second", "third"]})
    await cluster.apply("models", "third", SCRIPTED)
    await cluster.until(
        lambda: "fallback of Model writer: Model second, credential: Secret paid" in told(cluster)
    )
    assert "; fallback of Model writer: Model second, endpoint api.anthropic.com:443: no Exec" in told(
        cluster
    )
    await cluster.define(ASK, inputs=INPUTS)
    await cluster.submit()
    call = await placed(cluster)
    assert [item["key"] for item in call.body["models"]] == ["team/writer", "team/third"]
    assert (call.hosts, call.sealed) == ((), None)
    await secret(cluster, "team", "paid", key=SESAME)
    await allow(cluster, "api.anthropic.com:443")
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")
    await cluster.submit("next")
    call = await placed(cluster)
    assert [item["key"] for item in call.body["models"]] == ["team/writer", "team/second", "team/third"]
    assert (call.hosts, list(call.sealed or ())) == (("api.anthropic.com:443",), ["team/second"])


async def test_a_shared_model_serves_every_namespace_and_brings_its_own_fallbacks(cluster: Cluster) -> None:
    await prepare(cluster)
    shared = {"metadata": {"namespace": "citadel-system"}}
    for name, spec in (("writer", {**SCRIPTED, "fallbacks": ["second"]}), ("second", SCRIPTED)):
        path = f"/apis/citadel.dev/v1alpha1/namespaces/citadel-system/models/{name}"
        obj = {
            "apiVersion": "citadel.dev/v1alpha1",
            "kind": "Model",
            "metadata": {"name": name, "generation": 1, **shared["metadata"]},
            "spec": spec,
        }
        await cluster.api.change("ADDED", path, obj)
    await cluster.apply("models", "second", SCRIPTED)  # of the namespace: not what the shared one means
    await cluster.define(ASK, inputs=INPUTS)
    await cluster.submit()
    call = await placed(cluster)
    assert [item["key"] for item in call.body["models"]] == ["citadel-system/writer", "citadel-system/second"]


async def test_a_model_that_is_not_there_yet_is_waited_for_and_then_missed(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("workflows", "flow", {"steps": [ASK], "inputs": INPUTS})
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "False")
    ready = cluster.status("flow", "workflows")["conditions"][0]
    missing = "Model writer exists neither in namespace team nor in citadel-system"
    assert (ready["reason"], ready["message"]) == ("ModelNotFound", f"Workflow flow, step ask: {missing}")
    await cluster.submit()
    await cluster.until(lambda: cluster.status().get("phase") == "Running")
    await cluster.apply("models", "writer", SCRIPTED)
    assert (await placed(cluster)).step == "ask"
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "True")
    await cluster.apply("workflows", "flow", {"steps": [{**ASK, "llm": {"model": "nobody", "prompt": "x"}}]})
    await cluster.submit("other")
    cluster.ahead = 60.0
    status = await cluster.phase("Failed", "other")
    assert status["reason"] == "ModelNotFound"
    # Once: what the call of a model says names its step already.
    told = "step ask: Model nobody exists neither in namespace team nor in citadel-system"
    assert status["message"] == told


async def test_whoever_leads_next_places_no_call_twice(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("models", "writer", SCRIPTED)
    await cluster.define(ASK, inputs=INPUTS)
    uid = await cluster.submit()
    call = await placed(cluster)
    await cluster.lead()
    await cluster.submit("second")
    assert (await placed(cluster)).uid != uid
    assert await cluster.database.model_calls.renew("test", call, 60)


async def test_what_is_under_way_when_an_execution_is_ended_at_once_counts_in_full(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("models", "writer", SCRIPTED)
    await cluster.define(ASK, inputs=INPUTS)
    await cluster.submit()
    call = await placed(cluster)
    need = Amount(DOLLAR, 70)
    of = (call.uid, call.step, call.attempt, call.namespace, "team/writer", need, 20, ())
    await cluster.database.ledger.reserve(Reservation(*of, provider="scripted"))
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}, "stop": "Terminate"})
    usage = (await cluster.phase("Cancelled"))["usage"]
    assert usage == {
        "inputTokens": 50,
        "outputTokens": 20,
        "totalTokens": 70,
        "cost": "1.00",
        "estimated": True,
    }


async def test_what_an_execution_within_another_asks_is_paid_by_both(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("models", "writer", SCRIPTED)
    await cluster.apply("workflows", "inner", {"steps": [ASK], "inputs": INPUTS, "budget": {"tokens": 5}})
    await cluster.until(lambda: cluster.ready("inner", "workflows") == "True")
    await cluster.define({"name": "call", "workflow": {"name": "inner"}}, budget={"cost": "1"})
    uid = await cluster.submit()
    call = await placed(cluster)
    paying = [(item["key"], item["cost"], item["tokens"]) for item in call.body["accounts"]]
    assert paying == [
        ("day:team", None, None),
        (f"execution:{call.uid}", None, 5),
        (f"execution:{uid}", 10**12, None),
    ]
