"""A verb's page of help is the table by which its options are read."""

from __future__ import annotations

import pytest

from labkit.errors import DocumentError
from labkit.runtime.oci.arguments import options_of, read

PAGE = """Do something.

    labkit-oci verb [options] CONTAINER

      -b, --bundle DIR     where it is
      --no-pivot           a switch
      -e, --env NAME=V...  again and again
      --number N           a number
"""


def test_every_name_of_an_option_is_known() -> None:
    names = {"-b", "--bundle", "--no-pivot", "-e", "--env", "--number"}
    assert set(options_of(PAGE)) == names


@pytest.mark.parametrize(
    "line",
    ["-b /x box", "--bundle /x box", "--bundle=/x box", "-bundle /x box", "box -b /x"],
)  # fmt: skip
def test_a_value_is_given_in_any_of_the_usual_ways(line: str) -> None:
    given = read(PAGE, line.split())
    assert (given.text("bundle"), given.words) == ("/x", ["box"])


def test_a_switch_is_on_or_off() -> None:
    assert read(PAGE, ["--no-pivot"]).on("no-pivot")
    assert not read(PAGE, ["--no-pivot=false"]).on("no-pivot")
    assert not read(PAGE, []).on("no-pivot")


def test_the_last_of_two_values_counts_unless_all_are_asked_for() -> None:
    given = read(PAGE, ["-e", "A=1", "--env", "B=2"])
    assert (given.text("env"), given.all("env")) == ("B=2", ["A=1", "B=2"])


def test_a_programs_own_options_are_left_alone() -> None:
    given = read(PAGE, ["-e", "A=1", "box", "ls", "-l", "--bundle"], words=1)
    assert given.words == ["box", "ls", "-l", "--bundle"]


def test_two_dashes_end_the_options() -> None:
    assert read(PAGE, ["--", "-b"]).words == ["-b"]


def test_one_dash_is_a_word() -> None:
    assert read(PAGE, ["-b", "-", "-"]).words == ["-"]


@pytest.mark.parametrize("line", ["--unknown", "-x", "--bundle", "box --nor=1"])
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(DocumentError):
        read(PAGE, line.split())


def test_a_number_is_a_number() -> None:
    assert read(PAGE, ["--number", "3"]).number("number") == 3
    with pytest.raises(DocumentError, match="no number"):
        read(PAGE, ["--number", "three"]).number("number")


def test_a_missing_word_is_named() -> None:
    with pytest.raises(DocumentError, match="the container's name is missing"):
        read(PAGE, []).word(0, "the container's name")
