"""A process of ours that enters a container is a copy that nobody can change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtime.sealed import is_sealed, sealed_copy

START = """
from labkit.runtime.sealed import run_from_a_sealed_copy
run_from_a_sealed_copy()
import os, sys
print(os.readlink("/proc/self/exe"), sys.argv[1:], sys.prefix)
"""


def test_it_starts_again_from_memory_with_the_same_arguments(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(START)
    words = [sys.executable, str(script), "a", "b c"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.startswith("/memfd:labkit-python")
    assert "['a', 'b c']" in said
    assert sys.prefix in said
    assert not is_sealed()


def test_nobody_can_write_to_the_copy() -> None:
    copy = sealed_copy()
    try:
        assert os.fstat(copy).st_size == os.stat("/proc/self/exe").st_size
        with pytest.raises(PermissionError):
            os.write(copy, b"changed")
        again = os.open(f"/proc/self/fd/{copy}", os.O_WRONLY)
        with pytest.raises(PermissionError):
            os.write(again, b"changed")
        os.close(again)
    finally:
        os.close(copy)
