"""`citadel test`: workflows in a world of mocks, where time passes at once; what it tells, how it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from component.local.conftest import COMMAND, Citadel

HEAD = "apiVersion: citadel.dev/v1alpha1\nkind: Workflow\nmetadata: {name: NAME}\nspec:\n"
OUTER = """\
  inputs: {type: object, properties: {count: {type: integer, default: 2}}}
  steps:
  - name: list
    run: {runtime: python, code: "def main(count): return list(range(count))"}
    with: {count: "${inputs.count}"}
  - name: load
    forEach: {items: "${steps.list.output}", failFast: false}
    steps:
    - name: get
      run: {runtime: python, code: "def main(i): print('got', i); return i * 10"}
      with: {i: "${item}"}
      retry: {attempts: 3, backoff: {initial: 1h}}
    - name: put
      run: {runtime: python, code: "def main(v): return v + 1"}
      with: {v: "${steps.get.output}"}
      onError: {output: -1}
    output: "${steps.put.output}"
  - name: nap
    wait: {for: 30d}
  - name: late
    wait: {until: "2040-01-01T00:00:00Z"}
  - name: bill
    workflow: {name: inner}
    with: {amount: 3}
    timeout: 10d
    retry: {attempts: 2}
  - name: route
    switch: {cases: [{when: "steps.bill.output.total > 5", value: big}], default: small}
  - name: pay
    forEach: {items: [1, 2, 3]}
    wait: {signal: payment}
    timeout: 5d
  outputs:
    loaded: "${steps.load.output}"
    total: "${steps.bill.output.total}"
    size: "${steps.route.output}"
    paid: "${steps.pay.output}"
"""
INNER = """\
  inputs: {type: object, properties: {amount: {type: integer}}}
  steps:
  - name: ask
    approval: {approvers: {users: [ann]}, form: {type: object, properties: {f: {type: integer, default: 1}}}}
    timeout: 1d
    onTimeout: approve
  - name: charge
    run: {runtime: python, code: "def main(by, f): print('charging', by); return 5 + f"}
    with: {by: "${steps.ask.output.by}", f: "${steps.ask.output.by == '' ? 0 : steps.ask.output.form.f}"}
  outputs: {total: "${steps.charge.output}"}
"""
Suite = Callable[..., Path]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Writes a file of these tests of a workflow, and the workflow; gives the former."""

    def write(tests: str, workflow: str = "", name: str = "test.yaml") -> Path:
        text = f"{HEAD.replace('NAME', 'outer')}{workflow or OUTER}"
        if not workflow:
            text += f"---\n{HEAD.replace('NAME', 'inner')}{INNER}"
        (tmp_path / "flow.yaml").write_text(text)
        (tmp_path / name).write_text(f"workflow: flow.yaml#outer\ntests:\n{tests}")
        return tmp_path / name

    return write


GOOD = """\
- name: all of it
  mocks:
    bill/ask: {approve: {by: ann}}
    pay[0]: {signal: a}
    pay[1]: {signal: b}
    pay[2]: {signal: null}
  expect:
    outputs: {loaded: [1, 11], total: 6, size: big, paid: [a, b, null]}
    ran: [list, load, nap, late, bill, route, pay]
    order: [list, "load[0].get", "load[0].put", nap, late, bill/ask, bill/charge, route, pay]
    steps:
      bill/charge: {log: charging ann, with: {by: ann, f: 1}, output: 6}
      "load[1].get": {with: {i: 1}, log: got 1}
- name: nobody decides in time, which approves
  mocks: {bill/ask: {timeout: true}, pay: {signal: 1}}
  expect: {checks: [output.total == 5, steps.list.output.size() == 2]}
- name: the other workflow does not end, twice
  mocks: {bill: {timeout: true}, pay: {signal: 1}}
  expect:
    error: {step: bill, reason: Timeout, message: 10d}
    steps: {bill: {attempts: 2}, route: Pending}
- name: the other workflow fails once
  mocks:
    bill: [{error: {message: no money}}, {output: {total: 2}}]
    pay: {signal: 1}
  expect: {outputs: {loaded: [1, 11], total: 2, size: small, paid: [1, 1, 1]}}
- name: items fail
  inputs: {count: 3}
  mocks:
    "load[1].get": {error: {}}
    "load[2].get": [{error: {reason: OOMKilled}}, {error: {reason: Timeout}}, {output: 7}]
    load.put: {error: {reason: InvalidOutput, message: no rows}}
    "load[2].put": {output: 8}
    bill: {output: {total: 2}}
    pay: {signal: 1}
  expect:
    outputs: {loaded: [-1, null, 8], total: 2, size: small, paid: [1, 1, 1]}
    steps:
      "load[1].get": {status: Failed, attempts: 3}
      "load[1].put": Pending
      "load[0].put": {status: Succeeded, error: {reason: InvalidOutput, message: no rows}}
      load: {error: {reason: ItemsFailed}}
- name: nobody pays
  mocks: {bill: {output: {total: 1}}, pay: {timeout: true}}
  expect: {error: {reason: Timeout, message: no signal payment within 5d}}
- name: it begins when it is said to
  now: "2039-12-31T23:00:00Z"
  mocks: {bill: {output: {total: 1}}, pay: {signal: 1}}
  expect: {phase: Succeeded}
"""


def test_time_passes_at_once_and_mocks_give_what_they_say(citadel: Citadel, suite: Suite) -> None:
    began = time.monotonic()
    done = citadel("test", str(suite(GOOD)))
    assert done.code == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("7 passed in ")
    assert time.monotonic() - began < 50


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (
            "- name: a\n  mocks: {pay: {signal: 1}}\n",
            "step bill/ask waits for a decision; say in mocks what comes: approve, reject or timeout",
        ),
        (
            "- name: a\n  mocks: {bill: {output: {total: 1}}}\n",
            "waits for the signal payment; say in mocks what comes: signal or timeout",
        ),
        (
            "- name: a\n  mocks: {bill: {error: {message: away}}}\n",
            "phase: found Failed at step bill: ChildFailed: ",
        ),
        (
            "- name: a\n  mocks: {list: {error: {}}}\n  expect: {ran: [list, bill/charge]}\n",
            "ran: bill/charge did not run: it is Pending",
        ),
    ],
    ids=["an approval", "a signal", "a failure", "a path"],
)
def test_what_is_not_as_expected_is_told_in_a_sentence(
    citadel: Citadel, suite: Suite, test: str, told: str
) -> None:
    done = citadel("test", str(suite(test)))
    assert done.code == 1
    assert told in done.stdout
    assert "test.yaml:3" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 passed, 1 failed in ")
    assert "Traceback" not in done.stderr


def test_a_container_needs_a_mock_only_where_it_is_reached(citadel: Citadel, suite: Suite) -> None:
    flow = """\
  inputs: {type: object, properties: {deep: {type: boolean, default: false}}}
  steps:
  - name: scan
    when: inputs.deep
    container: {image: example.org/scan, command: [scan]}
    with: {key: {valueFrom: {secretKeyRef: {name: nowhere, key: key}}}, level: 3}
    artifacts: {out: {found: /data/found}}
    timeout: 1m
  - name: read
    when: inputs.deep
    run: {runtime: python, code: "def main(): return open('found/a/b.txt').read()"}
    artifacts: {in: {found: steps.scan.artifacts.found}}
  outputs: {text: "${steps.read.?output.orValue('')}"}
"""
    tests = """\
- name: not reached
  expect: {outputs: {text: ""}, ran: []}
- name: mocked
  inputs: {deep: true}
  mocks: {scan: {output: null, artifacts: {found: {a/b.txt: hello}}}}
  expect: {outputs: {text: hello}, steps: {scan: {with: {level: 3}}}}
- name: too slow
  inputs: {deep: true}
  mocks: {scan: {timeout: true}}
  expect: {error: {step: scan, reason: Timeout}}
- name: reached
  inputs: {deep: true}
"""
    done = citadel("test", str(suite(tests, flow)))
    assert done.code == 1
    assert "3 passed, 1 failed" in done.stdout
    assert "step scan is a container; say in mocks what it gives: output, error or timeout" in done.stdout


def test_what_is_mocked_needs_nothing_of_this_machine(citadel: Citadel, suite: Suite) -> None:
    flow = """\
  steps:
  - name: far
    run: {runtime: fortran, codeFrom: {configMapKeyRef: {name: none, key: none}}, env: [{name: A, value: b}]}
    files: {cert: {valueFrom: {secretKeyRef: {name: none, key: none}}}, text: "${execution.name}"}
    compensate: {run: {runtime: cobol, entrypoint: "a:b"}, with: {id: "${output}"}}
    outputSchema: {type: integer}
  - name: other
    workflow: {name: elsewhere, revision: 0123456789ab}
  - {name: fail, run: {runtime: python, code: "def main(): raise ValueError('no')"}}
"""
    tests = """\
- name: given back
  mocks: {far: {output: 7}, far.compensate: {output: null}, other: {output: {total: 1}}}
  expect: {error: {step: fail}, steps: {far.compensate: {with: {id: 7}}}}
- name: what a mock gives is held to the schema
  mocks: {far: {output: seven}, far.compensate: {output: null}, other: {output: {}}}
  expect: {error: {step: far, reason: InvalidOutput}}
"""
    done = citadel("test", str(suite(tests, flow)))
    assert done.code == 0, done.stdout + done.stderr


def test_pauses_of_loops_and_the_time_of_a_workflow_pass_too(citadel: Citadel, suite: Suite) -> None:
    flow = """\
  timeout: 10h
  steps:
  - name: hold
    run: {runtime: python, code: "def main(): return 7"}
    compensate: {run: {runtime: python, code: "def main(id): print('undone', id)"}, with: {id: "${output}"}}
  - name: ask
    repeat: {until: output.ready, max: 100, delay: 1h}
    run: {runtime: fortran, code: x}
    retry: {attempts: 2, backoff: {initial: 10m}}
  finally:
  - {name: tell, run: {runtime: python, code: "def main(p): print(p)"}, with: {p: "${execution.phase}"}}
"""
    tests = """\
- name: in time
  mocks: {ask: {output: {ready: false}}, "ask[9]": [{error: {}}, {output: {ready: true}}]}
  expect: {steps: {ask: {attempts: 10}, hold.compensate: Pending, tell: {log: Succeeded}}}
- name: too late
  mocks: {ask: {output: {ready: false}}}
  expect:
    phase: TimedOut
    error: {reason: DeadlineExceeded, message: 10h}
    steps: {hold.compensate: {log: undone 7}, tell: {log: TimedOut}, "ask[12]": Pending}
    order: [hold, "ask[1]", "ask[10]", hold.compensate, tell]
"""
    done = citadel("test", str(suite(tests, flow)))
    assert done.code == 0, done.stdout + done.stderr


def test_files_are_found_in_folders_and_tests_by_their_names(citadel: Citadel, suite: Suite) -> None:
    suite("- name: One\n  expect: {error: {}}\n  mocks: {list: {error: {}}}\n")
    folder = suite("- name: two\n  mocks: {list: {error: {}}}\n", name="more.test.yml").parent
    (folder / ".hidden").mkdir()
    (folder / ".hidden/test.yaml").write_text("wrong")
    done = citadel("test", ".", str(folder / "test.yaml"))
    assert done.code == 1
    assert "1 passed, 1 failed in" in done.stdout
    done = citadel("test", ".", "-k", "one", "-j", "1")
    assert (done.code, done.stdout.splitlines()[-1][:24]) == (0, "1 passed, 1 left out in ")
    assert citadel("test", ".", "-k", "more").code == 1
    done = citadel("test", ".", "-k", "three")
    assert done.code == 2
    assert "-k three: none of 2 tests has this text in its name or file" in done.stderr


def test_outputs_that_alone_differ_are_written_where_that_is_asked_for(
    citadel: Citadel, suite: Suite
) -> None:
    tests = """\
- name: differs
  expect: {outputs: {said: x}}    # kept
- name: differs in more
  expect: {outputs: {said: x}, steps: {say: Failed}}
"""
    file = suite(tests, ODD)
    done = citadel("test", str(file), "--update")
    assert done.code == 1
    assert "wrote the outputs of 1 test into" in done.stdout
    text = file.read_text()
    assert text.count("said: x") == 1
    assert text.count("}    # kept\n") == 1
    assert citadel("test", str(file), "-k", "differs in more").code == 1
    file.write_text(text.partition("- name: differs in more")[0])
    assert citadel("test", str(file)).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.yaml"], "none.yaml: No such file or directory"),
        (["empty"], "empty: found no file of tests, expected test.yaml or *.test.yaml in it"),
        (["flow.yaml"], "flow.yaml:1:1: found 2 documents, expected one: a file of tests"),
        (["test.yaml", "--junit", "flow.yaml/x"], "--junit flow.yaml/x: "),
    ],
)
def test_what_cannot_be_read_ends_with_2(
    citadel: Citadel, suite: Suite, arguments: list[str], told: str
) -> None:
    (suite("- name: a\n").parent / "empty").mkdir()
    done = citadel("test", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


ODD = """\
  inputs: {type: object, properties: {mode: {type: string, default: none}}}
  steps:
  - name: say
    run:
      runtime: python
      code: |
        import subprocess, time
        def main(mode):
            print("control \\x00\\x1b[31m ]]> <b>&amp; \\U0001f600", flush=True)
            if mode == "sleep":
                subprocess.Popen(["sleep", "98765"])
                time.sleep(600)
            return "\\x01<&\\"]]>"
    with: {mode: "${inputs.mode}"}
  outputs: {said: "${steps.say.output}"}
"""
#: What the two schemas of Jenkins (JUnit 4 and 10) have in common: attributes, and elements in their order.
SHAPE: dict[str, tuple[set[str], list[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "testcase": (
        {"name", "time", "classname"},
        ["skipped", "error", "failure", "system-out", "system-err"],
    ),
    "error": ({"type", "message"}, []),
    "failure": ({"type", "message"}, []),
    "system-out": (set(), []),
}


def check_shape(element: ElementTree.Element) -> None:
    attributes, children = SHAPE[element.tag]
    assert set(element.attrib) <= attributes
    assert {"name", "tests"} & attributes <= set(element.attrib)
    places = [children.index(child.tag) for child in element]
    assert places == sorted(places)
    for child in element:
        check_shape(child)


def test_the_report_is_what_ci_systems_read(citadel: Citadel, suite: Suite) -> None:
    tests = """\
- name: "odd <&\\" ]]> \\x01 \\e[31m \\U0001f600\\nsecond line"
  expect: {outputs: {said: x}}
- name: good
- name: broken
  inputs: {mode: sleep}
"""
    file = suite(tests, ODD)
    done = citadel("test", file.name, "--junit", "reports/out.xml", "--timeout", "3")
    assert done.code == 1
    assert "\x1b" not in done.stdout
    root = ElementTree.fromstring((file.parent / "reports/out.xml").read_bytes())
    check_shape(root)
    assert {key: root.attrib[key] for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    odd, good, broken = root.iter("testcase")
    assert odd.attrib["name"] == 'odd <&" ]]> \ufffd \ufffd[31m \U0001f600\nsecond line'
    assert odd.attrib["classname"] == "test"
    failure = odd.find("failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("outputs.said: found ")
    assert (failure.text or "").startswith("test.yaml:3\noutputs.said: found")
    assert [child.tag for child in good] == ["system-out"]
    assert good[0].text == "say | control \ufffd\ufffd[31m ]]> <b>&amp; \U0001f600"
    assert broken.find("error") is not None
    assert _sleeping() == []


def _sleeping() -> list[str]:
    """Processes that a step of these tests has left."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        found += [entry.name] if command == b"sleep\x0098765\x00" else []
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything(suite: Suite, number: int) -> None:
    file = suite("- {name: a, inputs: {mode: sleep}}\n- {name: b, inputs: {mode: sleep}}\n", ODD)
    process = subprocess.Popen(
        [*COMMAND, "test", str(file), "-j", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=file.parent,
        env=os.environ | {"TMPDIR": str(file.parent / "tmp")},
        # Whoever runs these tests in the background ignores it, and so would the program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    (file.parent / "tmp").mkdir()
    with process:
        try:
            _await(lambda: len(_sleeping()) == 2)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err.splitlines()[-1]) == (130, b"citadel: interrupted")
    assert _sleeping() == []
    assert list((file.parent / "tmp").iterdir()) == []


def _await(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
