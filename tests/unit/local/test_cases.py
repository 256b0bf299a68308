"""Cases of an evaluation from files: what is read, and what is told of a file that has none."""

import pytest

from citadel.local.cases import InvalidCases, read_cases


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "name,text\na,1\nb,\n", [{"name": "a", "text": "1"}, {"name": "b", "text": ""}]),
        ("a.csv", '\ufefftext\r\n"two\nlines, ü"\r\n', [{"text": "two\nlines, ü"}]),
        ("A.CSV", "text\n\nx\n", [{"text": "x"}]),
        ("a.json", '[{"a": 1.5}, {"b": [null]}]', [{"a": 1.5}, {"b": [None]}]),
        ("a.jsonl", '{"a": 1}\n\n{"a": "\u2028"}\n', [{"a": 1}, {"a": "\u2028"}]),
    ],
)
def test_cases_are_read_by_the_end_of_the_files_name(name: str, text: str, expected: list[object]) -> None:
    assert read_cases(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "expected a file whose name ends in .csv, .json, .jsonl"),
        ("a.jsnl", "", "did you mean .json"),
        ("a.csv", "", "found no case"),
        ("a.csv", "name,text\n", "found no case"),
        ("a.csv", "a,b\n1\n", "line 2: found 1 field, expected 2: a, b"),
        ("a.csv", "a,a\n1,2\n", 'line 1: found the field "a" twice'),
        ("a.csv", "a,\n1,2\n", "line 1: found a field without a name"),
        ("a.csv", 'a\n"x', "line 2: expected CSV: unexpected end of data"),
        ("a.json", "[", "expected JSON: "),
        ("a.json", '{"a": 1}', "expected a list of cases"),
        ("a.json", "[3]", "[0]: expected a mapping"),
        ("a.jsonl", '{"a": 1}\n{', "line 2: expected JSON: "),
        ("a.jsonl", '{"a": 1}\n[]', "line 2: expected a mapping"),
    ],
)
def test_a_file_without_cases_is_told_why(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidCases) as invalid:
        read_cases(name, text)
    assert message in str(invalid.value)
