#!/usr/bin/python3
"""junit FILE: what a JUnit report says, as the JSON that a step gives."""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree

NUMBERS = ("tests", "failures", "errors", "skipped")

suites = list(ElementTree.parse(sys.argv[1]).iter("testsuite"))
found = {name: sum(int(suite.get(name, 0)) for suite in suites) for name in NUMBERS}
found["red"] = [
    case.get("name")
    for suite in suites
    for case in suite.iter("testcase")
    if case.find("failure") is not None or case.find("error") is not None
]
with open(os.environ["CITADEL_OUTPUT"], "w") as output:
    json.dump(found, output)
print(f"{found['tests']} tests, {len(found['red'])} red")
