"""The table of hints: special rows first, every row whole, every row reached."""

from __future__ import annotations

import errno

import pytest

from labkit.hints import TABLE, Hint, hint_for
from labkit.linux.table import TABLE as CALLS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.call}-{row.errno}")
def test_a_row_is_about_a_call_and_an_errno_that_exist(row: Hint) -> None:
    assert row.call in CALLS or row.call == "*"
    assert hasattr(errno, row.errno)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.call}-{row.errno}")
def test_a_row_is_a_sentence_and_a_remedy(row: Hint) -> None:
    assert row.meaning and row.hint and row.see.endswith((")", "labkit doctor"))
    assert not row.meaning.endswith(".") and not row.hint.endswith(".")
    assert row.meaning[0].islower() or row.meaning.startswith(("CAP_", "Linux"))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.call}-{row.errno}")
def test_no_row_stands_in_the_shadow_of_an_earlier_one(row: Hint) -> None:
    name = "anything" if row.call == "*" else row.call
    assert hint_for(f"{name}({row.text})", row.errno) is row


def test_a_special_row_wins_over_a_general_one() -> None:
    overlay = hint_for('mount("overlay", "/m", "overlay", 0, "...")', "EINVAL")
    assert (
        overlay.meaning
        != hint_for('mount("a", "/m", NULL, MS_BIND, NULL)', "EINVAL").meaning
    )


def test_an_errno_without_a_row_leads_to_the_man_page() -> None:
    assert hint_for("rename(...)", "EXDEV").see == "rename(2)"
