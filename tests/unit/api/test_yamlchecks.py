"""Plain scalars: what kubectl makes of them (its library's own answers), and which are reported."""

import pytest

from citadel.api.yamlchecks import resolve, twist, twisted_key

ANSWERS: list[tuple[str, object]] = [
    ("y", True),
    ("on", True),
    ("oN", "oN"),
    ("n", False),
    ("Off", False),
    ("TRUE", True),
    ("NULL", None),
    ("~", None),
    ("", None),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
    ("2024-13-45", "2024-13-45"),
    ("12:30:00", "12:30:00"),
    ("22:22", "22:22"),
    ("190:20:30.15", "190:20:30.15"),
    ("0123", 83),
    ("0128", 128),
    ("08", 8),
    ("-012", -10),
    ("0_1", 1),
    ("0o17", 15),
    ("1_000", 1000),
    ("1__0", 10),
    ("_1", "_1"),
    ("0x1F", 31),
    ("0x_1", 1),
    ("0x1.8p3", "0x1.8p3"),
    ("0b11", 3),
    ("-0b11", -3),
    ("+1", 1),
    ("-0", 0),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1.5e3", 1500),
    ("1e-7", 1e-7),
    ("1e400", "1e400"),
    ("3.10", 3.1),
    ("3.0", 3),
    ("0.0", 0),
    (".5", 0.5),
    (".1_0", 0.1),
    ("._1", "._1"),
    ("5.", 5),
    ("18446744073709551615", 18446744073709551615),
    ("18446744073709551616", 18446744073709551616),
    ("9007199254740993", 9007199254740993),
    ("123456789012345678901234567890", 1.2345678901234568e29),
    ("0777777777777777777777777", 7.777777777777778e23),
    ("1.0e21", 1e21),
    ("=", "="),
    ("-", "-"),
    ("+", "+"),
    (".", "."),
    ("1.2.3", "1.2.3"),
    ("128Mi", "128Mi"),
    ("30s", "30s"),
    ("${inputs.a}", "${inputs.a}"),
]


@pytest.mark.parametrize(("text", "value"), ANSWERS)
def test_a_plain_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN"])
def test_numbers_that_json_lacks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="which JSON has no number for"):
        resolve(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yes", 'found yes without quotes, which YAML reads as true; write true, or "yes" for text'),
        ("off", 'found off without quotes, which YAML reads as false; write false, or "off" for text'),
        (
            "2024-01-01",
            'found 2024-01-01 without quotes, which some YAML readers turn into a date; write "2024-01-01"',
        ),
        (
            "12:30:00",
            'found 12:30:00 without quotes, which some YAML readers turn into seconds; write "12:30:00"',
        ),
        ("0123", 'found 0123 without quotes, which YAML reads as 83; write 83, or "0123" for text'),
        ("08", 'found 08 without quotes, which YAML reads as 8; write 8, or "08" for text'),
        ("0o17", 'found 0o17 without quotes, which YAML reads as 15; write 15, or "0o17" for text'),
        ("1_000", 'found 1_000 without quotes, which YAML reads as 1000; write 1000, or "1_000" for text'),
        (
            "123456789012345678901",
            "found 123456789012345678901, too large for an integer, so YAML rounds it; "
            'write "123456789012345678901"',
        ),
    ],
)
def test_a_scalar_that_yaml_twists_is_named_with_its_cure(text: str, message: str) -> None:
    assert twist(text) == message


@pytest.mark.parametrize(
    "text",
    ["true", "False", "null", "", "0", "-1", "0.5", "007x", "1.10", "1e3", "a:b", "1.2.3.4", "-", "python"],
)
def test_a_scalar_that_means_what_it_looks_like_is_left_alone(text: str) -> None:
    assert twist(text) is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("on", 'found the key on without quotes, which YAML reads as true; write "on"'),
        ("true", 'found the key true without quotes, which YAML reads as true; write "true"'),
        ("n", 'found the key n without quotes, which YAML reads as false; write "n"'),
        ("null", 'found the key null without quotes, which YAML reads as null; write "null"'),
        ("1.50", 'found the key 1.50 without quotes, which YAML reads as 1.5; write "1.50"'),
        ("0123", 'found the key 0123 without quotes, which YAML reads as 83; write "0123"'),
        (
            "2024-01-01",
            'found 2024-01-01 without quotes, which some YAML readers turn into a date; write "2024-01-01"',
        ),
        ("1", None),
        ("name", None),
    ],
)
def test_a_key_must_stay_the_text_it_is(key: str, message: str | None) -> None:
    assert twisted_key(key) == message
