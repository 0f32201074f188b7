"""The lab in the VM: its chapters, on cgroup v2.

Outside, on the machine that runs this, the same chapters may have version 1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.nbval_run import PROJECT, nbval
from tests.vm.notebook import KERNELS

# The first eight: what comes later takes as long again, and is tried by hand.
CHAPTERS = sorted((PROJECT / "notebooks").glob("0[0-7]*.ipynb"))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_says_in_the_vm_what_it_says_outside(
    ready: None, chapter: Path
) -> None:
    outcome = nbval(chapter, {"JUPYTER_PATH": str(KERNELS.parent)})
    assert outcome.fine, outcome.said
