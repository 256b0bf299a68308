"""What is wrong with a file of tests is found before anything runs, each with its place and a cure."""

from pathlib import Path

import pytest

from citadel.local.beside import InvalidFile
from citadel.local.suites import read_suite

HEAD = "apiVersion: citadel.dev/v1alpha1\nkind: Workflow\nmetadata: {name: NAME}\nspec:\n"
FLOW = (
    HEAD.replace("NAME", "flow")
    + """\
  inputs: {type: object, properties: {count: {type: integer}}}
  steps:
  - name: load
    run: {runtime: python, code: x}
    artifacts: {out: {rows: ./rows}}
  - name: each
    forEach: {items: [1, 2]}
    output: 1
    steps: [{name: inner, run: {runtime: python, code: x}, timeout: 1m}]
  - name: fix
    repeat: {until: "true"}
    run: {runtime: python, code: x}
  - {name: nap, wait: {for: 1h}}
  - {name: paid, wait: {signal: payment}, timeout: 1h}
  - {name: route, switch: {cases: [], default: 1}}
  - name: ask
    approval:
      approvers: {users: [ann]}
      reasonRequired: true
      form: {type: object, required: [limit], properties: {limit: {type: integer}}}
  - {name: plain, approval: {approvers: {groups: [finance]}}}
  - {name: bill, workflow: {name: invoice}, timeout: 1h}
  - {name: away, workflow: {name: elsewhere}}
""".replace("cases: []", 'cases: [{when: "true", value: 1}]')
)
INVOICE = HEAD.replace("NAME", "invoice") + (
    "  steps: [{name: charge, run: {runtime: python, code: x}}]\n  outputs: {total: 1}\n"
)
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts}\ndata: {a: b}\n"
FILES = {"flow.yaml": f"{FLOW}---\n{INVOICE}", "map.yaml": MAP, "wrong.yaml": FLOW.replace("run:", "rnu:", 1)}


def text_of(path: Path) -> str:
    try:
        return FILES[str(path)]
    except KeyError:
        raise FileNotFoundError(2, "No such file or directory") from None


def problems(text: str) -> list[str]:
    try:
        read_suite("test.yaml", text, text_of)
    except InvalidFile as error:
        return [problem.text for problem in error.problems]
    return []


def of_test(text: str) -> list[str]:
    """What is wrong with one test of the workflow, without its place."""
    found = problems(f"workflow: flow.yaml#flow\ntests:\n- name: a\n  {text}\n")
    return [problem.partition(": tests[0].")[2] for problem in found]


@pytest.mark.parametrize(
    "text",
    [
        "mocks: {load: {output: null, artifacts: {rows: {a/b.csv: x}}}}",
        "mocks: {load: [{error: {}}, {error: {reason: OOMKilled}}, {output: 1}]}",
        "mocks: {'each[1].inner': {timeout: true}, each.inner: {output: 1}, 'fix[1]': {output: 1}}",
        "mocks: {ask: {approve: {by: ann, reason: why not, form: {limit: 1}}}}",
        "mocks: {ask: {reject: {reason: never}}, plain: {approve: {}}, paid: {signal: null}}",
        "mocks: {bill: {output: {total: 3}}, away: {error: {reason: ChildFailed}}}",
        "mocks: {bill/charge: {output: 1}}",
        "mocks: {load: [{when: args.count > 1, output: 1}, {output: 2}]}",
        "expect: {steps: {load: {tools: []}}, checks: [size(steps.load.tools) == 0]}",
        "inputs: {count: x}\n  expect: {error: {reason: InvalidInputs}}",
        "now: '2030-01-31T08:00:00+01:00'",
        "expect: {steps: {'each[0].inner': Failed, each: {attempts: 2}, bill/charge: Skipped}}",
        "expect: {ran: [each.inner, fix, bill], order: [load, 'each[1].inner']}",
        "expect: {checks: [size(output) == 1, steps.load.output == inputs.count]}",
    ],
)
def test_what_fits_is_taken(text: str) -> None:
    assert of_test(text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mocks: {load: {when: 'args.', output: 1}}", "mocks.load: when: syntax error"),
        ("mocks: {load: {when: inputs.count > 1, output: 1}}", "mocks.load: when: found inputs, "),
        ("mocks: {bill: {when: 'true', output: {}}}", "mocks.bill: found when, which means nothing for "),
        ("models: {m: [{text: x}]}", "models.m: Model m is in no file of this test; those that are: none"),
        ("mock: {}", "mock: unknown field, did you mean mocks?"),
        ("mocks: {lod: {output: 1}}", 'mocks.lod: found "lod", which is no step of Workflow flow, did you m'),
        ("mocks: {load: 1}", "mocks.load: found 1 (integer), expected a mapping"),
        ("mocks: {load: []}", "mocks.load: found 0 items, expected at least 1"),
        ("mocks: {load: {}}", "mocks.load: found none of output, error, approve, reject, signal, timeout, e"),
        ("mocks: {load: {output: 1, error: {}}}", "mocks.load: found output and error of output, error, "),
        ("mocks: {load: [{output: 1}, {}]}", "mocks.load[1]: found none of output, error, approve, reject, "),
        ("mocks: {load: {error: }}", "mocks.load: found nothing (null) for error, expected {} if there is n"),
        ("mocks: {load: {error: {reason: Eror}}}", 'mocks.load.error.reason: found "Eror" (string), expecte'),
        ("mocks: {load: {timeout: false}}", "mocks.load.timeout: found false, expected true, or no timeout"),
        ("mocks: {load: {timeout: true}}", "mocks.load: found timeout, but step load has none"),
        ("mocks: {load: {approve: {}}}", "mocks.load: found approve, expected one of output, error, timeout"),
        ("mocks: {load: {output: 1, artifacts: {x: z}}}", "mocks.load: artifacts: found x, but what step lo"),
        ("mocks: {load: {output: 1, artifacts: {rows: {../x: z}}}}", "mocks.load: artifacts.rows: found the"),
        ("mocks: {load: {error: {}, artifacts: {rows: z}}}", "mocks.load: found artifacts beside error, exp"),
        ("mocks: {load: {error: {reason: ChildFailed}}}", "mocks.load: error.reason: found ChildFailed, whi"),
        ("mocks: {bill: {error: {reason: Error}}}", "mocks.bill: error.reason: found Error, expected ChildF"),
        ("mocks: {bill: {output: 1}}", "mocks.bill: output: found 1 (integer), expected a mapping: the outp"),
        ("mocks: {bill: {output: {totl: 1}}}", "mocks.bill: output: found totl, which is no output of Workf"),
        ("mocks: {bill/chage: {output: 1}}", 'mocks["bill/chage"]: found "chage", which is no step of Workf'),
        ("mocks: {load/x: {output: 1}}", 'mocks["load/x"]: found load/x, but step load runs no other workfl'),
        ("mocks: {away/x: {output: 1}}", 'mocks["away/x"]: Workflow elsewhere is in no file of this test; n'),
        ("mocks: {'load[1]': {output: 1}}", 'mocks["load[1]"]: found load[1], but load is not repeated'),
        ("mocks: {'fix[0]': {output: 1}}", 'mocks["fix[0]"]: found fix[0], but the iterations of fix are co'),
        ("mocks: {'each[x]': {output: 1}}", 'mocks["each[x]"]: found "each[x]", which is no step of Workflo'),
        ("mocks: {each: {output: 1}}", "mocks.each: step each is made of others: mock what is within it"),
        ("mocks: {route: {output: 1}}", "mocks.route: step route is decided by its cases: mock what they re"),
        ("mocks: {nap: {signal: 1}}", "mocks.nap: step nap waits for a time, which passes at once in a test"),
        ("mocks: {paid: [{signal: 1}, {signal: 2}]}", "mocks.paid: found 2 answers, expected one: there is"),
        ("mocks: {ask: {approve: {by: bob, reason: x, form: {limit: 1}}}}", 'mocks.ask: by: found "bob" (st'),
        ("mocks: {ask: {approve: {form: {limit: 1}}}}", "mocks.ask: approve.reason: missing, but the approv"),
        ("mocks: {ask: {approve: {reason: x, form: {limit: a}}}}", 'mocks.ask: approve.form.limit: found "a'),
        ("mocks: {ask: {reject: {}}}", "mocks.ask: reject.reason: missing, but the approval requires it"),
        ("mocks: {plain: {approve: {form: {x: 1}}}}", "mocks.plain: approve.form: found one, but the approv"),
        ("inputs: {count: x}", 'inputs: count: found "x", expected integer'),
        ("now: yesterday", 'now: found "yesterday" (string), expected a time as in RFC 3339, such as 2030-'),
        ("now: '2030-01-31T08:00:00'", 'now: found "2030-01-31T08:00:00" (string), expected a time as in RF'),
        ("expect: {steps: {load: Succeded}}", 'expect.steps.load: found "Succeded" (string), expected one o'),
        ("expect: {steps: {each.inner: Failed}}", 'expect.steps["each.inner"]: it runs in each turn of each'),
        ("expect: {ran: [nobody]}", 'expect.ran[0]: found "nobody", which is no step of Workflow flow'),
        ("expect: {order: [load, nobody]}", 'expect.order[1]: found "nobody", which is no step of Workflow'),
        ("expect: {error: {message: '('}}", 'expect.error.message: found "(" (string), expected a regular e'),
        ("expect: {steps: {load: {log: '('}}}", 'expect.steps.load.log: found "(" (string), expected a regu'),
        ("expect: {phase: Succeeded, error: {}}", "expect.error: found an error beside phase Succeeded, exp"),
        ("expect: {checks: [1 +]}", "expect.checks[0]: syntax error: the expression ends too early"),
        ("expect: {checks: [item == 1]}", "expect.checks[0]: found item, expected inputs, output (the outpu"),
        ("expect: {checks: [steps.lod.output == 1]}", "expect.checks[0]: found a reference to step 'lod', d"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(text: str, told: str) -> None:
    (found,) = of_test(text)
    assert found.startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "test.yaml:1:1: found 0 documents, expected one: a file of tests"),
        ("- a\n", "test.yaml:1:1: found a list of 1 item, expected a mapping with workflow and tests"),
        ("a: {\n", "test.yaml:2:1: "),
        ("kind: Workflow\nspec: {}\n", "test.yaml:1:1: kind: found a Workflow, expected a file of tests"),
        ("workflow: flow.yaml\n", "test.yaml:1:1: tests: missing, but required"),
        ("workflow: flow.yaml\ntests: [{name: a}]\n", "test.yaml:1:1: workflow: flow.yaml: found 2 Workflow"),
        ("workflow: flow.yaml#x\ntests: [{name: a}]\n", "test.yaml:1:1: workflow: flow.yaml: found the Work"),
        ("workflow: none.yaml\ntests: [{name: a}]\n", "test.yaml:1:1: workflow: none.yaml: No such file or"),
        ("workflow: wrong.yaml\ntests: [{name: a}]\n", "wrong.yaml:8:5: spec.steps[0].rnu: unknown field, d"),
        ("workflow: map.yaml\ntests: [{name: a}]\n", "test.yaml:1:1: workflow: map.yaml: found 0 Workflows"),
        (
            "workflow: flow.yaml#flow\nobjects: [map.yaml, map.yaml]\ntests: [{name: a}]\n",
            "test.yaml:2:21: objects[1]: map.yaml: found ConfigMap texts, which another file of this test ha",
        ),
        (
            "workflow: flow.yaml#flow\ntests:\n- name: a\n- name: a\n",
            'test.yaml:4:3: tests[1].name: found "a", which tests[0] has too, expected a name of its own',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_file_is_told_with_line_and_column(text: str, told: str) -> None:
    assert problems(text)[0].startswith(told)


def test_a_test_knows_its_line() -> None:
    suite = read_suite(
        "test.yaml", "workflow: flow.yaml#flow\nobjects: [map.yaml]\ntests:\n- name: a\n- name: b\n", text_of
    )
    assert [suite.line(index) for index in range(2)] == [4, 5]
    assert suite.contents.data == {("ConfigMap", "texts"): {"a": "b"}}
    assert sorted(suite.contents.workflows) == ["flow", "invoice"]
