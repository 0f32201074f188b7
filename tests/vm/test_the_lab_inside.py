"""The lab in the VM: the tests of its primitives on cgroup v2, and its chapters.

Outside, on the machine that runs this, the same tests and chapters may have version 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.vm import commands
from tests.notebooks.nbval_run import PROJECT, nbval
from tests.vm.notebook import KERNELS, Notebook

CHAPTERS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
TESTS_S = 3600.0
# pytest in the VM, as in a terminal there: a run of its own, not a part of this one.
PYTEST = """
    import os, subprocess, sys
    environment = dict(os.environ)
    for name in ("LABKIT_TEST_RUN", "LABKIT_WORK"):
        environment.pop(name, None)
    options = ["-p", "no:cacheprovider", "--color=no", "-q", "--tb=short"]
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "tests/kernel"], text=True,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in pytest.stdout:
        print(line, end="", flush=True)
    print("pytest ended with", pytest.wait())
"""


@pytest.fixture(scope="module")
def ready(no_vm: None) -> Iterator[None]:
    """A VM that shares the whole checkout, and stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_VM_WORK", str(PROJECT))
        commands.start(print)
        yield


@pytest.mark.timeout(TESTS_S + 60)
def test_the_kernel_tests_pass_on_version_2(
    ready: None, notebook: Callable[..., Notebook]
) -> None:
    said = notebook(PROJECT).run(textwrap.dedent(PYTEST), TESTS_S)
    print(said)
    assert said.endswith("pytest ended with 0")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_says_in_the_vm_what_it_says_outside(
    ready: None, chapter: Path
) -> None:
    outcome = nbval(chapter, {"JUPYTER_PATH": str(KERNELS.parent)})
    assert outcome.fine, outcome.said
