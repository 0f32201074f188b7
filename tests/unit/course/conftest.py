"""A learner's folder of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where my_container.py and my_progress.json go in this test."""
    folder = tmp_path / "work"
    monkeypatch.setenv("LABKIT_WORK", str(folder))
    monkeypatch.delenv("LABKIT_SEED", raising=False)
    monkeypatch.delenv("LABKIT_CHECK", raising=False)
    return folder
