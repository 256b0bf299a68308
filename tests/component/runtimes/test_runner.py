"""The runner and its gateway: retries, refusals, secrets, drain and end."""

import base64
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PublicKey, SealedBox

from component.runtimes.conftest import Site
from component.runtimes.gateway import Gateway

SECRET = 'hunter2-"quoted"\\and\tlong'


def sealed(gateway: Gateway, value: Any, secret: bool = True) -> dict[str, Any]:
    box = SealedBox(PublicKey(base64.b64decode(gateway.public_key)))
    return {"box": base64.b64encode(box.encrypt(json.dumps(value).encode())).decode(), "secret": secret}


async def registered(gateway: Gateway) -> None:
    await gateway.until(lambda: gateway.heartbeats)


async def test_a_result_is_kept_while_the_gateway_is_away(site: Site) -> None:
    await site.python()
    gateway = site.gateway
    await gateway.assign("work", code="import time\ndef main():\n print('hello')\n time.sleep(1)\n return 1")
    await gateway.until(lambda: gateway.logs.get(("work", 1)))
    await site.close()
    await gateway.held(1.5, lambda: False)
    await site.open()
    assert (await gateway.result("work")).output == 1
    assert await gateway.log("work") == "hello\n"
    assert (await gateway.run("next", code="def main(): return 2")).output == 2


@pytest.mark.parametrize("path", ["/v1/register", "/v1/poll", "/v1/attempts", "/v1/heartbeat"])
async def test_a_busy_gateway_is_asked_again(site: Site, path: str) -> None:
    gateway = site.gateway
    gateway.refuse = {path: [503, "Unavailable", 2]}
    await site.python()
    result = await gateway.run("work", code="def main():\n print('x')\n return 1")
    assert result.output == 1
    assert await gateway.log("work") == "x\n"


async def test_a_pod_that_is_not_recorded_yet_asks_again_soon(site: Site) -> None:
    site.gateway.refuse = {"/v1/register": [425, "TooEarly", 3]}
    await site.python()
    assert (await site.gateway.run("work", code="def main(): return 1")).output == 1


async def test_a_superseded_result_is_dropped(site: Site) -> None:
    gateway = site.gateway
    gateway.refuse = {"/v1/attempts/old": [409, "Superseded", 1]}
    await site.python()
    await gateway.assign("old", code="def main(): return 1")
    assert (await gateway.run("new", code="def main(): return 2")).output == 2
    assert gateway.deliveries == [("new", 1)]


async def test_code_does_not_run_twice_when_its_attempt_is_assigned_again(site: Site) -> None:
    gateway = site.gateway
    gateway.refuse = {"/v1/attempts/once": [409, "Odd", 1]}
    await site.python()
    await gateway.assign("once", code="import time\ndef main(): return time.time_ns()")
    await gateway.result("once")
    assert (await gateway.run("after", code="def main(): return 1")).output == 1
    assert gateway.deliveries.count(("once", 1)) == 1


async def test_an_output_that_the_gateway_refuses_becomes_a_failure(site: Site) -> None:
    gateway = site.gateway
    gateway.refuse = {"/v1/attempts/big": [413, "TooLarge", 1]}
    await site.python()
    failure = (await gateway.run("big", code="def main(): return 'x'")).failure
    assert failure["reason"] == "OutputTooLarge"
    assert "the double says TooLarge" in failure["message"]


async def test_a_bad_key_ends_the_runner(site: Site) -> None:
    sandbox = await site.start(key="another")
    assert await sandbox.runner.wait() == 4


@pytest.mark.parametrize("how", ["poll", "running"])
async def test_a_sandbox_no_longer_wanted_ends(site: Site, how: str) -> None:
    sandbox = await site.python()
    await registered(site.gateway)
    if how == "running":
        await site.gateway.assign("long", code="import time\ndef main():\n print('x')\n time.sleep(60)")
        await site.gateway.until(lambda: site.gateway.logs)
    await site.gateway.change(gone=True)
    assert await sandbox.runner.wait() == 0


async def test_a_drained_sandbox_finishes_its_step_and_ends(site: Site) -> None:
    sandbox = await site.python()
    gateway = site.gateway
    await gateway.assign("last", code="import time\ndef main():\n print('x')\n time.sleep(1)\n return 1")
    await gateway.until(lambda: gateway.logs)
    await gateway.change(drain=True)
    result = await gateway.result("last")
    assert result.output == 1
    assert not result.next
    assert await sandbox.runner.wait() == 0
    assert await gateway.log("last") == "x\n"


@pytest.mark.parametrize("code", ["def main(): return 1", "def main(): raise SystemExit(3)"])
async def test_an_attempt_that_has_its_sandbox_to_itself_is_its_last(site: Site, code: str) -> None:
    sandbox = await site.python()
    await site.gateway.assign("after", code="def main(): return 2")
    await site.gateway.assign("alone", code=code, exclusive=True)
    site.gateway.waiting.rotate(1)
    assert not (await site.gateway.result("alone")).next
    assert await sandbox.runner.wait() == 0
    assert await sandbox.main.wait() == 0
    assert site.gateway.deliveries == [("alone", 1)]


async def test_an_idle_drained_sandbox_ends(site: Site) -> None:
    sandbox = await site.python()
    await registered(site.gateway)
    await site.gateway.change(drain=True)
    assert await sandbox.runner.wait() == 0


async def test_an_exclusive_sandbox_takes_one_step(site: Site) -> None:
    sandbox = await site.start()
    await site.gateway.assign("only", command=["echo", "x"], exclusive=True)
    assert not (await site.gateway.result("only")).next
    assert await site.gateway.log("only") == "x\n"
    assert await sandbox.runner.wait() == 0
    assert await sandbox.main.wait() == 0


async def test_sigterm_sends_the_logs_and_ends(site: Site) -> None:
    sandbox = await site.python()
    gateway = site.gateway
    code = "import time\ndef main():\n print('x')\n time.sleep(0.2)\n print('y' * 100)\n time.sleep(60)"
    await gateway.assign("long", code=code)
    await gateway.until(lambda: gateway.logs)
    sandbox.runner.send_signal(signal.SIGTERM)
    assert await sandbox.runner.wait() == 0
    await sandbox.main.wait()
    assert ("long", 1) in gateway.ended_logs
    assert not gateway.results


async def test_the_runner_says_when_the_shim_is_gone(site: Site) -> None:
    sandbox = await site.python()
    await site.gateway.assign("long", code="import time\ndef main():\n print('x')\n time.sleep(60)")
    await site.gateway.until(lambda: site.gateway.logs)
    sandbox.kill_shim()
    assert await sandbox.runner.wait() == 3
    assert not site.gateway.results


def test_install_copies_the_shim_executable_for_all(binaries: Path, tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([binaries / "runner", "install", tmp_path], check=True)
    shim = tmp_path / "shim"
    assert shim.stat().st_mode & 0o777 == 0o555
    assert shim.read_bytes() == (binaries / "shim").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["shim"]


def test_a_wrong_environment_is_named(binaries: Path) -> None:
    ended = subprocess.run([binaries / "runner"], env={"CITADEL_GATEWAY": "http://x"}, capture_output=True)
    assert ended.returncode == 2
    assert b'CITADEL_GATEWAY is "http://x", expected https://<ip>:<port>' in ended.stderr


async def test_the_runner_stays_small_while_logs_wait(site: Site) -> None:
    sandbox = await site.python()
    gateway = site.gateway
    gateway.refuse = {"/v1/attempts/flood/1/logs": [503, "Unavailable", 4]}
    code = "def main():\n for _ in range(20 * 1024): print('x' * 1023)\n return 1"
    assert (await gateway.run("flood", code=code)).output == 1
    await gateway.assign("next", code=code)
    assert len(await gateway.log("flood")) == 10 << 20
    assert len(await gateway.log("next")) == 10 << 20
    assert sandbox.runner_peak() < 56 << 20


async def test_sealed_values_arrive_and_secrets_are_masked(site: Site) -> None:
    await site.python()
    gateway = site.gateway
    await registered(gateway)
    code = """
import sys
def main(password, csv, n):
    print('password', password, csv)
    sys.stdout.write(password[:5]); sys.stdout.flush(); sys.stdout.write(password[5:] + '\\n')
    return {'in': [password, 'x' + password, csv, n], password: 1, 'length': len(password)}
"""
    values = {"password": sealed(gateway, SECRET), "csv": sealed(gateway, "a,b", secret=False)}
    result = await gateway.run("use", code=code, input={"n": 3}, sealed=values)
    assert result.output == {"in": ["***", "x***", "a,b", 3], "***": 1, "length": len(SECRET)}
    assert await gateway.log("use") == "password *** a,b\n***\n"


async def test_secrets_are_masked_in_failures(site: Site) -> None:
    await site.python()
    gateway = site.gateway
    await registered(gateway)
    code = "def main(key):\n    print(key)\n    raise ValueError(f'bad key {key}')"
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nshort\n-----END KEY-----\n"
    result = await gateway.run("fail", code=code, sealed={"key": sealed(gateway, key)})
    assert result.failure["message"] == "ValueError: bad key ***"
    assert "MIIEv" not in await gateway.log("fail") + json.dumps(result.failure)
    assert "***" in result.failure["logTail"]


async def test_a_box_for_another_sandbox_is_a_clear_failure(site: Site) -> None:
    await site.python()
    gateway = site.gateway
    await registered(gateway)
    value = sealed(gateway, "x")
    value["box"] = base64.b64encode(b"0" * 80).decode()
    failure = (await gateway.run("foreign", code="def main(a): pass", sealed={"a": value})).failure
    assert failure["message"] == "argument a: its sealed box was not made for this sandbox"
