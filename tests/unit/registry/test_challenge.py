"""Reading WWW-Authenticate as RFC 9110 has it, and as registries really write it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.registry.client.challenge import Challenge, challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ('Basic realm="lab"', (Challenge("basic", {"realm": "lab"}),)),
        ("basic realm=lab", (Challenge("basic", {"realm": "lab"}),)),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t",
                        "service": "s",
                        "scope": "repository:x:pull,push",
                    },
                ),
            ),
        ),
        (
            'Basic realm="a, b", Bearer realm = "c" , service="d"',
            (
                Challenge("basic", {"realm": "a, b"}),
                Challenge("bearer", {"realm": "c", "service": "d"}),
            ),
        ),
        (r'Basic realm="say \"a\\b\""', (Challenge("basic", {"realm": r'say "a\b"'}),)),
        ("Negotiate", (Challenge("negotiate", {}),)),
        ('Bearer realm="never ends', (Challenge("bearer", {}), Challenge("realm", {}))),
        ('realm="without a scheme"', ()),
    ],
)
def test_a_challenge_is_read(header: str, expected: tuple[Challenge, ...]) -> None:
    assert challenges(header) == expected


@settings(deadline=None)
@given(st.text(max_size=300))
def test_whatever_stands_there_is_read_or_passed_over(header: str) -> None:
    assert isinstance(challenges(header), tuple)


@settings(deadline=None)
@given(st.text('="\\, a', max_size=3000))
def test_no_header_takes_long(header: str) -> None:
    challenges("Bearer " + header)
