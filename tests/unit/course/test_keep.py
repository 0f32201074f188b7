"""What a learner keeps is in my_container.py, with all that it needs."""

from __future__ import annotations

import linecache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from labkit.course import catch_up, keep, my_container
from labkit.errors import DocumentError, StateError

_numbers = count()


def cell(source: str, *before: str) -> dict[str, Any]:
    """Run cells as IPython does: each in a file of its own, all in __main__."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for text in (*before, source):
        name = f"<a cell of the test {next(_numbers)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), space)
    return space


def test_a_function_is_kept_with_its_imports(work: Path) -> None:
    space = cell(
        "def enter(linux, path):\n    os.getpid()\n    return MS.BIND, CLONE.NEWNS\n",
        "import os\nfrom labkit import CLONE, MS\nimport sys\n",
    )
    said = keep(space["enter"], "02")
    text = (work / "my_container.py").read_text()
    line = text.splitlines().index("def enter(linux, path):") + 1
    assert repr(said) == f"written to my_container.py, line {line}"
    assert "import os\n" in text and "from labkit import CLONE, MS\n" in text
    assert "sys" not in text
    assert my_container().enter(None, "")[0].name == "BIND"


def test_a_helper_and_a_number_of_the_notebook_go_with_it(work: Path) -> None:
    space = cell(
        "def twice(x):\n    return x * FACTOR\n\n"
        "def outer(linux):\n    return twice(4)\n",
        "FACTOR = 2\n",
    )
    keep(space["outer"])
    assert my_container().outer(None) == 8


def test_names_in_defaults_annotations_and_inner_functions_are_found() -> None:
    space = cell(
        "def f(linux: Linux, flags=MS.BIND):\n"
        "    def inner():\n        return [sep for _ in range(2)]\n"
        "    return inner()\n",
        "from labkit import MS, Linux\nfrom os import sep\n",
    )
    keep(space["f"])
    module = my_container()
    assert module.f(None) == ["/", "/"]
    assert module.Linux.__name__ == "Linux"


def test_a_module_with_another_name_is_imported_under_it() -> None:
    space = cell("def f():\n    return r.compile('x')\n", "import re as r\n")
    keep(space["f"])
    assert my_container().f().pattern == "x"


def test_a_step_of_the_learners_is_kept_as_a_class() -> None:
    space = cell(
        "@dataclass(frozen=True)\nclass Greet(Step):\n    name: str\n"
        "    def describe(self):\n        return f'greet {self.name}'\n"
        "    def apply(self, linux):\n        print(self.name)\n",
        "from dataclasses import dataclass\nfrom labkit import Step\n",
    )
    keep(space["Greet"])
    assert my_container().Greet("you").describe() == "greet you"


def test_an_authors_marks_are_not_kept(work: Path) -> None:
    cut = "    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n"
    keep(cell(f"def f():\n{cut}")["f"])
    assert "SOLUTION" not in (work / "my_container.py").read_text()
    assert my_container().f() == 1


def test_a_kept_function_can_be_kept_again_from_the_file() -> None:
    keep(cell("def f():\n    return 1\n")["f"])
    keep(my_container().f)
    assert my_container().f() == 1


def test_the_module_is_read_afresh_each_time(work: Path) -> None:
    keep(cell("def f():\n    return 1\n")["f"])
    path = work / "my_container.py"
    for number in (2, 3):
        path.write_text(f"def f():\n    return {number}\n")
        assert my_container().f() == number


def test_the_file_is_replaced_as_a_whole(work: Path) -> None:
    keep(cell("def f():\n    return 1\n")["f"])
    keep(cell("def g():\n    return 1\n")["g"])
    assert [path.name for path in work.iterdir()] == ["my_container.py"]


def test_a_function_without_a_source_says_what_to_do() -> None:
    space: dict[str, Any] = {}
    exec("def ghost(): ...", space)
    for thing in (space["ghost"], len, lambda: 1):
        with pytest.raises(
            DocumentError, match=r"its source isn't known\n.*\ntry: define"
        ):
            keep(thing)


def test_a_value_that_a_file_cannot_get_is_named() -> None:
    space = cell("def f():\n    return handle\n", "handle = open('/dev/null')\n")
    with (
        space["handle"],
        pytest.raises(DocumentError, match="handle: a value that a file"),
    ):
        keep(space["f"])


def test_a_file_that_is_no_python_is_left_alone(work: Path) -> None:
    work.mkdir()
    path = work / "my_container.py"
    path.write_text("def broken(:\n")
    for act in (
        lambda: keep(cell("def f(): ...\n")["f"]),
        my_container,
        lambda: catch_up("02"),
    ):
        with pytest.raises(DocumentError, match="line 1"):
            act()
    assert path.read_text() == "def broken(:\n"


def test_without_a_file_the_way_to_one_is_said() -> None:
    with pytest.raises(StateError, match="there is none yet"):
        my_container()
