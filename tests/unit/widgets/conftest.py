"""Views made in a test are closed after it."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest


@pytest.fixture(autouse=True)
def closed_views() -> Iterator[None]:
    """ipywidgets keeps every view until somebody closes it."""
    yield
    ipywidgets.Widget.close_all()
