"""Other people's tools find nothing to say about the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.sources import PROJECT


def test_ruff_finds_no_mistake() -> None:
    """Unused names, shadowed builtins, imports out of order, missing docstrings."""
    says("ruff", "check", "--quiet")


def test_every_file_is_formatted() -> None:
    """One form for all, so that a difference between two versions means something."""
    says("ruff", "format", "--check", "--quiet")


def test_every_type_is_right() -> None:
    """A host's path is never handed to something that wants a container's."""
    says("mypy")


def test_every_word_is_spelled_right() -> None:
    """Comments are read by learners."""
    says("codespell", *tracked_files())


def says(tool: str, *arguments: str) -> None:
    """Run a tool from this environment; its complaint is the failure."""
    program = Path(sys.executable).parent / tool
    done = subprocess.run(
        [program, *arguments], cwd=PROJECT, text=True, capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{tool} says:\n{done.stdout}{done.stderr}", pytrace=False)


def tracked_files() -> list[str]:
    """Return what git would put into a commit; in a copy without git, everything."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    return [name for name in listed.stdout.splitlines() if (PROJECT / name).exists()]
