"""Steps that reach hosts by name on a real cluster: what a policy allows arrives, all else fails and is said.

The internet is a pod in the test's own namespace, which a policy lists as a private destination.
"""

import asyncio
import json
import time
from typing import Any

import pytest

from citadel.kube.resources import POLICIES, SERVICES
from internet import HTTP, POSTGRES, Internet, start_internet
from live import Cluster, citadel, policy, python

FETCH = {
    "python": """
import urllib.request
def main(url): return urllib.request.urlopen(url, timeout=10).read().decode()
""",
    "javascript": "export default async ({ url }) => await (await fetch(url)).text();",
    "java": """
import java.net.URI;
import java.net.http.*;
class Fetch {
    static String main(java.util.Map<String, Object> in) throws Exception {
        var request = HttpRequest.newBuilder(URI.create((String) in.get("url"))).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
    }
}
""",
}
#: What psycopg says first: a startup message, then a query; no proxy is known to it.
QUERY = """
import socket, struct
def main(host):
    s = socket.create_connection((host, 5432), 10)
    start = struct.pack(">I", 196608) + b"user\\0someone\\0database\\0postgres\\0\\0"
    s.sendall(struct.pack(">I", len(start) + 4) + start)
    query = b"SELECT 'answer ' || 6*7\\0"
    s.sendall(b"Q" + struct.pack(">I", len(query) + 4) + query)
    read = b""
    while b"SELECT 1" not in read:
        read += s.recv(1000)
    return "answer 42" if b"answer 42" in read else repr(read)
"""
OTHER = """
import socket, time
def main():
    began = time.monotonic()
    try:
        socket.getaddrinfo("api.other.com", 443)
    except socket.gaierror as error:
        return [error.errno == socket.EAI_NONAME, time.monotonic() - began < 0.5]
"""


@pytest.fixture
async def internet(cluster: Cluster) -> Internet:
    """An HTTP server and a Postgres, ready to answer."""
    return await start_internet(cluster)


def reaching(name: str, code: str, *egress: str, runtime: str = "python", **arguments: Any) -> dict[str, Any]:
    step = {"name": name, "run": {"runtime": runtime, "code": code}, "network": {"egress": list(egress)}}
    return {**step, "with": arguments, "timeout": "30s"}


async def reached(cluster: Cluster, execution: str) -> list[dict[str, Any]]:
    """The connections of an execution, once there are any and all have ended."""
    async with asyncio.timeout(20):
        while True:
            told = await asyncio.to_thread(
                citadel, "connections", execution, "-n", cluster.namespace, "-o", "json"
            )
            rows: list[dict[str, Any]] = json.loads(told)
            if rows and all(row["seconds"] is not None for row in rows):
                return rows
            await asyncio.sleep(0.2)


async def test_a_server_is_reached_by_name_in_each_language_and_each_connection_is_shown(
    cluster: Cluster, internet: Internet
) -> None:
    steps = [
        reaching(name, code, internet.at(HTTP), runtime=name, url=f"http://{internet.at(HTTP)}/")
        for name, code in FETCH.items()
    ]
    outputs = {name: f"${{steps.{name}.output}}" for name in FETCH}
    await cluster.workflow("flow", steps, outputs=outputs)
    async with policy(cluster, egress={"allow": [internet.at(HTTP)]}, privateDestinations=internet.private):
        name = await cluster.execute("flow")
        status = (await cluster.finished(name, 120))["status"]
        assert status.get("outputs") == dict.fromkeys(FETCH, "hello from the internet"), status
        rows = await reached(cluster, name)
    assert {(row["step"], row["host"], row["address"], row["verdict"]) for row in rows} == {
        (step, internet.host, internet.address, "allowed") for step in FETCH
    }
    assert all(row["sent"] > 0 and row["received"] > 0 for row in rows)
    shown = await asyncio.to_thread(citadel, "connections", name, "-n", cluster.namespace)
    assert internet.at(HTTP) in shown


async def test_an_image_that_knows_nothing_of_citadel_reaches_a_server_by_name_and_no_other(
    cluster: Cluster, internet: Internet, container_image: str
) -> None:
    ask = r"""
fetch() { exec 3<>"/dev/tcp/$1/$PORT" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && tail -n 1 <&3; }
if fetch "other.$HOST"; then exit 1; fi
fetch "$HOST" | jq -R . >"$CITADEL_OUTPUT"
"""
    env = [{"name": "HOST", "value": internet.host}, {"name": "PORT", "value": str(HTTP)}]
    container = {"image": container_image, "command": ["bash", "-c", ask], "env": env}
    step = {
        "name": "ask",
        "container": container,
        "network": {"egress": [internet.at(HTTP)]},
        "timeout": "30s",
    }
    await cluster.workflow("flow", [step], outputs={"told": "${steps.ask.output}"})
    async with policy(cluster, egress={"allow": [internet.at(HTTP)]}, privateDestinations=internet.private):
        name = await cluster.execute("flow")
        status = (await cluster.finished(name))["status"]
        assert status.get("outputs") == {"told": "hello from the internet"}, status
        (row,) = await reached(cluster, name)
    assert (row["step"], row["host"], row["verdict"]) == ("ask", internet.host, "allowed")
    log = await asyncio.to_thread(citadel, "logs", name, "-n", cluster.namespace)
    assert f"other.{internet.host} is not in network.egress of step ask" in log


async def test_a_database_client_needs_to_know_of_no_proxy(cluster: Cluster, internet: Internet) -> None:
    host = internet.host.replace("internet.", "database.", 1)
    address = (await cluster.kube.get(SERVICES, "database", cluster.namespace))["spec"]["clusterIP"]
    await cluster.workflow(
        "flow",
        [reaching("ask", QUERY, f"{host}:{POSTGRES}", host=host)],
        outputs={"told": "${steps.ask.output}"},
    )
    private = [f"{address}/32:{POSTGRES}"]
    async with policy(
        cluster, egress={"allow": [f"*.svc.cluster.local:{POSTGRES}"]}, privateDestinations=private
    ):
        status = await cluster.run("flow")
    assert status.get("outputs") == {"told": "answer 42"}, status


async def test_any_other_name_fails_at_once_and_the_log_says_which_step_does_not_name_it(
    cluster: Cluster,
) -> None:
    await cluster.workflow("flow", [python("look", OTHER)], outputs={"told": "${steps.look.output}"})
    name = await cluster.execute("flow")
    status = (await cluster.finished(name))["status"]
    assert status.get("outputs") == {"told": [True, True]}, status
    log = await asyncio.to_thread(citadel, "logs", name, "-n", cluster.namespace)
    assert "api.other.com is not in network.egress of step look" in log


async def test_without_a_policy_no_step_that_names_destinations_starts(cluster: Cluster) -> None:
    await cluster.workflow("flow", [reaching("a", FETCH["python"], "api.example.com:443", url="x")])
    status = await cluster.run("flow")
    assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
    assert "no ExecutionPolicy of namespace" in status["message"]


def _printed(cluster: Cluster, execution: str, text: str) -> None:
    """Returns when an execution has printed something."""
    until = time.monotonic() + 30
    while text not in citadel("logs", execution, "-n", cluster.namespace):
        assert time.monotonic() < until, f"{text!r} was not printed within 30 s"
        time.sleep(0.2)


AGAIN = """
import time, urllib.request
def main(url):
    fetch = lambda: urllib.request.urlopen(url, timeout=5).read()
    fetch()
    print("reached", flush=True)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            fetch()
        except OSError as error:
            return type(error).__name__
        time.sleep(0.1)
"""


async def test_a_policy_that_changes_stops_a_step_that_runs(cluster: Cluster, internet: Internet) -> None:
    step = reaching("a", AGAIN, internet.at(HTTP), url=f"http://{internet.at(HTTP)}/")
    await cluster.workflow("flow", [step], outputs={"told": "${steps.a.output}"})
    egress = {"allow": [internet.at(HTTP)]}
    async with policy(cluster, egress=egress, privateDestinations=internet.private) as named:
        name = await cluster.execute("flow")
        await asyncio.to_thread(_printed, cluster, name, "reached")
        await cluster.kube.patch(POLICIES, named, {"spec": {"egress": {"allow": ["api.example.com:443"]}}})
        status = (await cluster.finished(name))["status"]
        assert status["outputs"]["told"] is not None, status
        rows = await reached(cluster, name)
    assert {row["verdict"] for row in rows} == {"allowed", "refused"}
    assert f"does not allow {internet.at(HTTP)}" in rows[-1]["reason"]


async def test_under_gvisor_it_is_the_same(cluster: Cluster, internet: Internet) -> None:
    url = f"http://{internet.at(HTTP)}/"
    await cluster.workflow(
        "flow",
        [
            reaching("fetch", FETCH["python"], internet.at(HTTP), url=url),
            {**python("look", OTHER), "timeout": "30s"},
        ],
        outputs={"fetched": "${steps.fetch.output}", "told": "${steps.look.output}"},
    )
    gvisor = {"name": "gvisor", "allowed": ["gvisor"]}
    egress = {"allow": [internet.at(HTTP)]}
    async with policy(cluster, egress=egress, privateDestinations=internet.private, runtimeClass=gvisor):
        status = await cluster.run("flow", 90)
    assert status.get("outputs") == {"fetched": "hello from the internet", "told": [True, True]}, status
