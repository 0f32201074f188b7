"""Names of users and groups, by a container's own files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.primitives.program.accounts import home_of, identity

PASSWD = """root:x:0:0:root:/root:/bin/sh
web:x:33:33::/var/www:/bin/false
# no user
odd:x:many:1::/:
nobody:x:65534:65534::/:
"""
GROUP = """root:x:0:
adm:x:4:web,other
www:x:33:
video:x:44:web
broken
"""


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("", (0, 0, (), "/root")),
        ("root", (0, 0, (), "/root")),
        ("web", (33, 33, (4, 44), "/var/www")),
        ("33", (33, 33, (4, 44), "/var/www")),
        ("web:adm", (33, 4, (), "/var/www")),
        ("web:77", (33, 77, (), "/var/www")),
        ("1234", (1234, 0, (), "/")),
        ("1234:5", (1234, 5, (), "/")),
    ],
)
def test_a_name_or_a_number_is_somebody(who: str, expected: tuple[object, ...]) -> None:
    assert identity(who, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    "who", ["nobody-here", "web:no-group", "odd", "-1", "99999999999"]
)
def test_a_name_that_isnt_in_the_files_is_refused(who: str) -> None:
    with pytest.raises(DocumentError, match="is not in the container"):
        identity(who, PASSWD, GROUP)


def test_a_home_is_the_users_or_none() -> None:
    assert home_of(PASSWD, 33) == "/var/www"
    assert home_of(PASSWD, 5) == ""


@settings(deadline=None)  # other tests may be running
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_files_are_understood(passwd: str, group: str) -> None:
    assert identity("7", passwd, group).uid == 7
