"""What hostile code tries in the sandbox of an agent, in place of its loop.

It runs there, on the standard library alone, and gives what each attempt came to, by name.
"""

import concurrent.futures
import glob
import http.client
import json
import os
import re
import socket
import ssl
import time

DOOR = "127.0.0.1:8790"
SMALL = {"amount": 10, "to": "acme", "ref": "raid"}
BIG = {"amount": 9999, "to": "mallory", "ref": "raid"}
MEMORY = {"conversation": "alice", "agent": "other", "namespace": "default", "summary": "raid", "covers": 2}
ELSEWHERE = {"step": "other", "attempt": 9, "uid": "other", "namespace": "default", "sandbox": "other"}


def main(agent):
    return globals()[agent["input"]["what"]](agent)


def seed(agent):
    """A conversation begins."""
    return agent["input"]["say"]


def raid(agent):
    held = [half_a_request() for _ in range(50)]
    found = {
        "honest": tool("pay", SMALL, "honest"),
        "model": asked("POST", "/v1/chat/completions", chat(agent))["status"],
        "memory": asked("PUT", "/v1/memory", MEMORY)["status"],
        "told": sorted(set(re.findall("told by [a-z]+", json.dumps(agent)))),
        "calls": {name: call() for name, call in calls(agent["input"]["other"]).items()},
        "paths": [
            [*way, asked(*way, {"id": "p", "name": "wire", "arguments": BIG})["status"]] for way in ways()
        ],
        "bodies": [outcome(asked("POST", "/v1/tools", body)) for body in bodies()],
        "chats": [outcome(asked("POST", "/v1/chat/completions", body)) for body in bodies()],
        "race": at_once(lambda n: tool("spend", {**SMALL, "ref": f"raid-{n}"}, f"race-{n}"), 20),
        "reached": at_once(lambda n: reached(*agent["input"]["places"][n]), len(agent["input"]["places"])),
        "secrets": secrets(),
    }
    for one in held:
        one.close()
    return found


def calls(other):
    """Calls beyond what the agent may, each under the name of a case."""
    forged = {"status": "Succeeded", "output": {"done": True}, "approved": True}
    steering = {"X-Citadel-Step": "other", "X-Citadel-Attempt": "9", "Authorization": "Bearer forged"}
    return {
        "a tool that it does not have": lambda: tool("wire", BIG),
        "a forged result": lambda: tool("wire", BIG, **forged),
        "a forged result of a call that is refused": lambda: tool("pay", BIG, **forged),
        "another amount under the id of one that was paid": lambda: tool("pay", BIG, "honest"),
        "an amount that is none": lambda: tool("pay", {**SMALL, "amount": "9999"}),
        "another step, by the body": lambda: tool("wire", BIG, **ELSEWHERE),
        "another step, by headers": lambda: tool("wire", BIG, headers=steering),
        "another execution, by the body": lambda: tool("pay", BIG, uid=other, execution=other),
        "the step behind a call": lambda: tool("pay.call", SMALL),
        "an earlier call of its own": lambda: tool("pay[1]", SMALL),
        "its own step": lambda: tool("act", {"prompt": "again"}),
        "what approves": lambda: tool("refund.approve", {}),
        "a step of the execution": lambda: tool("after", {}),
    }


def ways():
    """Paths that the door does not have; some would lead behind it."""
    return (
        ("GET", "/v1/models"),
        ("GET", "/v1/tools"),
        ("DELETE", "/v1/memory"),
        ("PUT", "/v1/memory/alice"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/attempts/act/1/tools"),
        ("POST", "/v1/attempts/other/1/tools"),
        ("POST", "/v1/tools/../attempts/other/1/tools"),
        ("POST", "/v1/tools/..%2f..%2fattempts%2fother%2f1%2ftools"),
        ("POST", "//v1/tools"),
        ("POST", "/v1/sessions"),
        ("POST", "/v1/results"),
        ("PATCH", "/v1/tools"),
        ("OPTIONS", "/v1/tools"),
        ("POST", "http://127.0.0.1:8790/v1/attempts/other/1/tools"),
    )


def bodies():
    """What is no call, and no question to a model."""
    deep = b"[" * 100_000 + b"]" * 100_000
    return (
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        deep,
        b'{"id": "b", "name": "pay", "arguments": ' + deep + b"}",
        b'{"id": "b", "name": "pay", "arguments": []}',
        b'{"id": "b", "name": "pa\\u0000y", "arguments": {}}',
        b'{"id": "b", "name": "\\ud800", "arguments": {}}',
        b'{"id": "' + b"b" * 10_000 + b'", "name": "pay", "arguments": {}}',
        b'{"messages": "play", "model": "m"}',
        b'{"messages": [], "model": "m", "n": 1000000}',
        b'{"id": "b", "name": "pay", "x": "' + b"x" * 9_000_000 + b'", "arguments": {}}',
    )


def turns(agent):
    """More questions than there may be turns, at once."""
    return at_once(lambda n: asked("POST", "/v1/chat/completions", chat(agent, n))["status"], 100)


def flood(agent):
    """More calls than there may be, at once."""
    return at_once(lambda n: tool(f"none{n}", {}), 100, 6)


def late(agent):
    """A process that stays and goes on asking, when this one is done."""
    if os.fork():
        time.sleep(1)
        return "done"
    os.setsid()
    for n in range(1000):
        tool("lookup", {"id": f"c-{n}", "ref": "late"}, f"late-{n}")
    os._exit(0)


def tool(name, arguments, key=None, headers=None, **more):
    """What a call came to: its status, or that of the door, with a reason."""
    body = {"id": key or f"{name}-{time.monotonic_ns()}", "name": name, "arguments": arguments, **more}
    return outcome(asked("POST", "/v1/tools", body, headers))


def outcome(found):
    try:
        said = json.loads(found["text"])
    except ValueError:
        said = {}
    return said.get("reason") or said.get("status") or str(found["status"])


def chat(agent, number=0):
    """A question to the model, which would rather be another one."""
    message = {"role": "user", "content": f"{agent['prompt']} {number}"}
    return {"model": "dearest", "messages": [message], "stream": False}


def asked(method, path, body, headers=None):
    connection = http.client.HTTPConnection(DOOR, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return {"status": response.status, "text": response.read(100_000).decode(errors="replace")}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "text": repr(error)}
    finally:
        connection.close()


def half_a_request():
    one = socket.create_connection(("127.0.0.1", 8790), 5)
    one.sendall(b"POST /v1/tools HTTP/1.1\r\nX: ")
    return one


def reached(address, port):
    """What somebody beyond the sandbox says to whoever has no session; None where nobody answers."""
    try:
        socket.create_connection((address, port), 4).close()
    except OSError:
        return None
    connection = http.client.HTTPSConnection(
        address, port, timeout=5, context=ssl._create_unverified_context()
    )
    headers = {"Authorization": "Bearer forged", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/attempts/act/1/tools", json.dumps({"name": "wire"}), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0


def secrets():
    """What looks like a key, where code can read."""
    places = [
        *glob.glob("/proc/*/environ"),
        *glob.glob("/proc/*/cmdline"),
        *glob.glob("/var/run/secrets/**", recursive=True),
    ]
    found = []
    for place in [*places, *glob.glob("/dev/shm/**", recursive=True), *glob.glob("/run/**", recursive=True)]:
        if not os.path.isfile(place):
            continue
        try:
            with open(place, "rb") as file:
                content = file.read(1_000_000)
        except OSError:
            continue
        if b"sk-" + b"held" in content or b"eyJ" + b"hbGci" in content:
            found.append(place)
    return found


def at_once(work, many, width=20):
    with concurrent.futures.ThreadPoolExecutor(width) as threads:
        return list(threads.map(work, range(many)))
