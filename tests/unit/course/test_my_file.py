"""my_container.py grows by functions, and keeps what the learner wrote by hand."""

from __future__ import annotations

import pytest

from labkit.course import tasks
from labkit.course.my_file import HEAD, TITLES, Piece, definitions, line_of, put
from labkit.errors import DocumentError

FIRST = Piece("start", "def start(linux):\n    return 1\n", frozenset({("os", "")}))
SECOND = Piece(
    "enter",
    "@cache\ndef enter(linux, flags=MS.BIND):\n    return 2\n",
    frozenset({("labkit", "MS"), ("functools", "cache")}),
)


def test_a_new_file_says_what_it_is_and_has_a_section() -> None:
    text = put("", FIRST, "01")
    assert text.startswith(HEAD)
    assert "\n\nimport os\n\n\n# ---- 01 A process ---" in text
    assert text.endswith("\n\ndef start(linux):\n    return 1\n")


def test_sections_stand_in_the_order_of_the_chapters() -> None:
    text = put(
        put(put("", Piece("mine", "def mine(): ...\n"), ""), SECOND, "02"), FIRST, "01"
    )
    order = [text.index(f"def {name}") for name in ("start", "enter", "mine")]
    assert order == sorted(order)
    assert text.index("# ---- 02") < text.index("# ---- My own")


def test_a_second_function_of_a_chapter_joins_its_section() -> None:
    text = put(
        put(put("", FIRST, "01"), SECOND, "02"),
        Piece("wait", "def wait(): ...\n"),
        "01",
    )
    assert text.count("# ---- 01") == 1
    assert text.index("def start") < text.index("def wait") < text.index("# ---- 02")


def test_a_new_version_replaces_the_old_one_where_it_stands() -> None:
    text = put(put("", FIRST, "01"), SECOND, "02")
    newer = Piece("start", "def start(linux):\n    # better\n    return 3\n")
    assert put(text, newer, "01") == text.replace(
        "    return 1", "    # better\n    return 3"
    )


def test_decorators_go_with_their_function() -> None:
    text = put(put("", SECOND, "02"), Piece("enter", "def enter(): ...\n"), "02")
    assert "@cache" not in text
    assert text.splitlines()[line_of(text, "enter") - 1] == "def enter(): ..."


def test_what_was_written_by_hand_stays() -> None:
    text = (
        put("", FIRST, "01")
        + "\n# my note\nLIMIT = 3\n\n\ndef own():\n    return LIMIT\n"
    )
    text = put(put(text, SECOND, "02"), FIRST, "01")
    assert "# my note\nLIMIT = 3\n" in text
    assert set(definitions(text)) == {"start", "enter", "own"}


def test_putting_the_same_twice_changes_nothing() -> None:
    once = put(put("", FIRST, "01"), SECOND, "02")
    assert put(put(once, FIRST, "01"), SECOND, "02") == once


def test_imports_of_one_module_are_one_line_that_is_broken_when_long() -> None:
    text = put("", SECOND, "02")
    text = put(
        text, Piece("a", "def a(): ...\n", frozenset({("labkit", "CLONE")})), "02"
    )
    assert "from labkit import CLONE, MS\n" in text
    many = frozenset(("labkit", f"SomethingLong{n}") for n in range(8))
    text = put(text, Piece("b", "def b(): ...\n", many), "02")
    assert "from labkit import (\n    CLONE,\n    MS,\n    SomethingLong0,\n" in text
    assert text.count("from labkit import") == 1


def test_a_constant_has_a_line_and_is_replaced_there() -> None:
    text = put("", Piece("a", "def a(): ...\n", constants=(("SIZE", "3"),)), "01")
    assert "\n\nSIZE = 3\n" in text
    text = put(text, Piece("a", "def a(): ...\n", constants=(("SIZE", "4"),)), "01")
    assert "\n\nSIZE = 4\n" in text
    assert "SIZE = 3" not in text


def test_the_result_is_always_python_that_can_be_run() -> None:
    source = "def b():\n    return SIZE\n"
    text = put("", Piece("b", source, constants=(("SIZE", "(1, 'x')"),)), "")
    space: dict[str, object] = {}
    exec(text, space)
    assert space["b"]() == (1, "x")  # type: ignore[operator]


def test_a_file_that_is_no_python_is_not_touched() -> None:
    with pytest.raises(DocumentError, match=r"my_container\.py, line 2: "):
        put("x = 1\ndef (:\n", FIRST, "01")


def test_every_chapter_with_an_exercise_has_a_title() -> None:
    assert list(TITLES) == [*(one.chapter for one in tasks.exercises()), ""]
