"""What the gateway tells the egress proxy: a token says who asks, step and policies what is allowed."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from build import created, definition, python_step
from citadel.controller.certificates import Identity, KeyPair, issue, new_authority
from citadel.core import events as ev
from citadel.core.egress import EgressRules
from citadel.core.hashing import hashed
from citadel.gateway.egress import EgressDesk, callers
from citadel.gateway.internal import internal_app, internal_tls
from citadel.gateway.refusals import Refused
from citadel.gateway.sessions import egress_token
from citadel.serving import serve
from citadel.store.connections import MOST_OF_ONE, ConnectionRow
from component.gateway.conftest import Site
from component.gateway.runner import Runner
from component.gateway.test_process import free_port

OPEN = EgressRules("open", ("*.example.com:443",), private=("10.0.0.0/8:443",))
REACHING = python_step("a", network={"egress": ["api.example.com:443", "db.mine:5432"]})


class Desk(EgressDesk):
    """The desk, with policies by namespace that a test may change."""

    def __init__(self, site: Site, **policies: Sequence[EgressRules]) -> None:
        database = site.database
        self.policies = policies
        registry = site.gateways[0].gateway.registry
        calls = callers(database)
        super().__init__(registry, database.journal, database.connections, self.of, calls)

    async def of(self, namespace: str) -> Sequence[EgressRules]:
        return self.policies.get(namespace, ())

    async def ask(self, runner: Runner, **changes: Any) -> dict[str, Any]:
        token = egress_token(runner.sandbox, hashed(runner.secret))
        asked = {"token": token, "step": "a", "attempt": 1, "host": "api.example.com", "port": 443}
        return await self.verdict(asked | changes)


@pytest.fixture
async def desk(site: Site) -> AsyncIterator[Desk]:
    """Executions are of namespace `team`, whose policy lets steps start; the desk's own is OPEN."""
    spec = {"egress": {"allow": list(REACHING["network"]["egress"])}}
    policy = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy", "metadata": {"name": "all"}}
    await site.database.policies.put("team", [{**policy, "spec": spec}])
    yield Desk(site, team=[OPEN])
    await site.database.policies.put("team", [])


async def test_what_step_and_policy_allow_is_allowed_for_the_step_that_runs(site: Site, desk: Desk) -> None:
    runner = await site.registered(definition(REACHING))
    assert await desk.ask(runner) == {
        "allowed": True,
        "reason": "",
        "privateAllowed": ["10.0.0.0/8"],
        "uid": "uid-1",
        "sandbox": runner.sandbox,
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": "www.example.com"}, "www.example.com:443 is not in network.egress of step a"),
        ({"port": 80}, "api.example.com:80 is not in network.egress of step a"),
        ({"host": "db.mine", "port": 5432}, "ExecutionPolicy open does not allow db.mine:5432"),
        ({"step": "b"}, "step b attempt 1 is not under way in this sandbox"),
        ({"attempt": 2}, "step a attempt 2 is not under way in this sandbox"),
        ({"token": "cx-0.forged"}, "the token is of no sandbox"),
        ({"token": ""}, "the token is of no sandbox"),
        ({"token": "cx'; --.x"}, "the token is of no sandbox"),
    ],
)
async def test_anything_else_is_refused_and_said_why(
    site: Site, desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    runner = await site.registered(definition(REACHING))
    told = await desk.ask(runner, **changes)
    assert (told["allowed"], told["reason"], told["privateAllowed"]) == (False, reason, [])


async def test_an_index_is_reached_by_what_installs_packages_without_any_policy_and_by_nothing_else(
    site: Site, desk: Desk
) -> None:
    desk.policies.clear()
    await site.database.policies.put("team", [])
    step = python_step("a", network={"egress": ["api.example.com:443"]})
    runner = await site.registered({**definition(step), "index": "api.example.com:443"})
    assert (await desk.ask(runner))["allowed"]
    assert "10.0.0.0/8" in (await desk.ask(runner))["privateAllowed"]
    assert not (await desk.ask(runner, port=80))["allowed"]
    # Without being what installs packages, the same step does not even start.
    other = await site.registered(definition(step), "uid-2")
    assert not (await desk.ask(other))["allowed"]


async def test_the_session_itself_and_the_token_of_another_sandbox_open_nothing(
    site: Site, desk: Desk
) -> None:
    ours = await site.registered(definition(REACHING))
    theirs = await site.registered(definition(python_step("a")), "uid-2")
    assert (await desk.ask(ours, token=ours.secret))["reason"] == "the token is of no sandbox"
    told = await desk.ask(theirs)
    assert (told["uid"], told["reason"]) == (
        "uid-2",
        "api.example.com:443 is not in network.egress of step a",
    )
    token = egress_token(theirs.sandbox, hashed(theirs.secret))
    mixed = f"{ours.sandbox}.{token.partition('.')[2]}"
    assert (await desk.ask(ours, token=mixed))["reason"] == "the token is of no sandbox"


async def test_a_token_is_worth_nothing_after_its_step_and_after_its_execution(
    site: Site, desk: Desk
) -> None:
    runner = await site.registered(definition(REACHING, python_step("b", network={"egress": ["x.y:1"]})))
    await runner.succeed("a", more="&next=false")
    assert "step a attempt 1 is not under way" in (await desk.ask(runner))["reason"]
    await site.post(ev.StopRequested("Terminate", "Terminated", "stopped"))
    assert not (await desk.ask(runner))["allowed"]
    await site.database.journal.forget(["uid-1"])
    assert not (await desk.ask(runner))["allowed"]


async def test_without_a_policy_and_after_it_is_gone_nothing_is_reached(site: Site, desk: Desk) -> None:
    runner = await site.registered(definition(REACHING))
    assert (await desk.ask(runner))["allowed"]
    desk.policies.clear()
    assert (await desk.ask(runner))["reason"] == "no ExecutionPolicy of namespace team allows egress"


@pytest.mark.parametrize(
    "body", [{}, {"token": 1}, {"connections": {}}, {"connections": [1]}, {"connections": [{}]}]
)
async def test_what_is_not_as_agreed_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="expected"):
        await (desk.connections if "connections" in body else desk.verdict)(body)


ROW = ConnectionRow(
    "id-1", "uid-1", "a", 1, "cx-0", 5.0, "api.example.com", 443, "93.184.216.34", "allowed", "", 0, 0, None
)


async def begun(site: Site, uid: str = "uid-1") -> None:
    await site.database.journal.advance(
        uid, [created(uid, definition(REACHING), {})], definition=definition(REACHING)
    )


async def test_a_connection_is_one_row_that_is_told_again_when_it_has_ended(site: Site, desk: Desk) -> None:
    await begun(site)
    ended = replace(ROW, sent=3, received=2**33, seconds=1.5)
    for told in (ROW, ended):
        await desk.connections({"connections": [asdict(told), asdict(replace(told, id="x", uid="uid-9"))]})
    assert await site.database.connections.of("uid-1", 10) == [ended]
    await site.database.journal.forget(["uid-1"])
    assert await site.database.connections.of("uid-1", 10) == []


async def test_of_one_execution_so_many_rows_are_kept_and_no_more(site: Site, desk: Desk) -> None:
    await begun(site)
    await begun(site, "uid-2")
    log = site.database.connections
    for start in range(0, MOST_OF_ONE, 2000):
        await log.record([replace(ROW, id=str(n)) for n in range(start, start + 2000)])
    await log.record(
        [replace(ROW, id="late"), replace(ROW, id="0", sent=9), replace(ROW, id="other", uid="uid-2")]
    )
    rows = {row.id: row for row in await log.of("uid-1", 2 * MOST_OF_ONE)}
    assert len(rows) == MOST_OF_ONE
    assert rows["0"].sent == 9
    assert len(await log.of("uid-2", 10)) == 1


@pytest.fixture
async def port(site: Site, desk: Desk, tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """Where the desk answers over TLS, and the folder with the certificates that tests may show."""
    now = datetime.now(UTC)
    ours, others = new_authority("citadel", now), new_authority("other", now)
    made = {
        "gateway": issue(ours, Identity(["localhost"]), now),
        "egress": issue(ours, Identity(["citadel-egress"], is_client=True), now),
        "api": issue(ours, Identity(["citadel-api"], is_client=True), now),
        "server-only": issue(ours, Identity(["citadel-egress"]), now),
        "stranger": issue(others, Identity(["citadel-egress"], is_client=True), now),
    }
    for name, pair in made.items():
        write(tmp_path / name, pair, ours.certificate)
    async with AsyncExitStack() as stack:
        free = free_port()
        await serve(
            stack, internal_app(desk, "citadel-egress"), free, internal_tls(str(tmp_path / "gateway"))
        )
        yield f"https://localhost:{free}/v1/egress/connections", tmp_path


def write(folder: Path, pair: KeyPair, ca: bytes) -> None:
    folder.mkdir()
    for name, content in {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca}.items():
        (folder / name).write_bytes(content)


async def post(port: tuple[str, Path], who: str | None) -> int:
    url, folder = port
    tls = ssl.create_default_context(cafile=str(folder / "gateway" / "ca.crt"))
    if who is not None:
        tls.load_cert_chain(folder / who / "tls.crt", folder / who / "tls.key")
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, json={"connections": []}, ssl=tls) as answer,
    ):
        return answer.status


async def test_the_proxy_is_known_by_its_certificate_and_other_servers_of_ours_are_refused(
    port: tuple[str, Path],
) -> None:
    assert await post(port, "egress") == 200
    assert await post(port, "api") == 403


@pytest.mark.parametrize("who", [None, "server-only", "stranger"])
async def test_who_has_no_client_certificate_of_this_installation_does_not_get_past_the_handshake(
    port: tuple[str, Path], who: str | None
) -> None:
    with pytest.raises(aiohttp.ClientError):
        await post(port, who)
