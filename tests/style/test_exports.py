"""What `from labkit import ...` offers is a list that somebody chose."""

from __future__ import annotations

import labkit


def test_every_exported_name_exists() -> None:
    """And each stands in the list once."""
    assert [name for name in labkit.__all__ if not hasattr(labkit, name)] == []
    assert len(labkit.__all__) == len(set(labkit.__all__))


def test_the_list_is_the_whole_truth() -> None:
    """A public name that isn't a module is in the list, or has no business there."""
    there = {name for name, value in vars(labkit).items() if is_offered(name, value)}
    assert there - set(labkit.__all__) == set()


def is_offered(name: str, value: object) -> bool:
    """Say whether a learner could take this for a name of the lab's."""
    return not name.startswith("_") and type(value).__name__ != "module"
