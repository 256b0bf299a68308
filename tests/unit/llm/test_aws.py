"""Credentials of Amazon's: what is one, and that no message or picture of one holds it."""

import json

import pytest

from citadel.llm.aws import AwsCredential, InvalidCredential, region_of

KEYS = {"accessKeyId": "AKIA-secret", "secretAccessKey": "secret", "region": "eu-west-3"}


@pytest.mark.parametrize(
    ("given", "secrets"),
    [
        (KEYS, ("AKIA-secret", "secret")),
        ({**KEYS, "sessionToken": " s "}, ("AKIA-secret", "secret", "s")),
        ({"bearerToken": "secret", "region": "eu-west-3"}, ("secret",)),
        ({**KEYS, "bearerToken": None, "note": 1}, ("AKIA-secret", "secret")),
    ],
)
def test_keys_and_tokens_are_credentials(given: object, secrets: tuple[str, ...]) -> None:
    found = AwsCredential.parse(json.dumps(given, indent=1))
    assert (found.region, found.secrets) == ("eu-west-3", secrets)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("secret", "found no JSON"),
        ('["secret"]', "found no object"),
        ("{}", "found none of them"),
        ('{"accessKeyId": "secret", "region": "x"}', "found accessKeyId, region,"),
        ('{"bearerToken": "secret"}', "found bearerToken,"),
        ('{"bearerToken": ["secret"], "region": "x"}', "bearerToken: found no text"),
        ('{"bearerToken": "secret\\n", "region": "x"}', "bearerToken: found no text"),
    ],
)
def test_what_is_none_is_told_without_it(text: str, told: str) -> None:
    with pytest.raises(InvalidCredential) as problem:
        AwsCredential.parse(text)
    assert str(problem.value).startswith(told)
    assert "secret" not in str(problem.value).replace("secretAccessKey", "")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime.us-east-1.amazonaws.com.evil.example", None),
        ("evil.bedrock-runtime.us-east-1.amazonaws.com", None),
        ("s3.us-east-1.amazonaws.com", None),
    ],
)
def test_only_amazons_own_hosts_are_theirs(host: str, region: str | None) -> None:
    assert region_of(host) == region
