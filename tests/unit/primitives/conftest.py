"""What a primitive would do, without doing it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.plan import Plan, Step


@pytest.fixture
def calls_of() -> Callable[..., list[str]]:
    """Return the calls that steps would make, as in C."""

    def texts(*steps: Step) -> list[str]:
        return [call.text for call in Plan(*steps).rehearse()]

    return texts
