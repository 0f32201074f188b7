"""A run of the tests gets a state directory of its own, never the learner's.

LABKIT_STATE and LABKIT_WORK are set before any test module is imported, so kernels and
programs that tests start have them, too. The directory lies where an overlay's upper
directory can: an overlay can't, and /tmp in a container image often is one.
LABKIT_TEST_DIR chooses another place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

# In the environment of everything that a run starts; a run inside a run keeps the
# outer one's, and its state.
MARK = "LABKIT_TEST_RUN"
PRIVATE_PREFIX = "labkit-test-"
PRIVATE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory and say where it is, in the environment."""
    if MARK in os.environ:
        return
    private = Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=place_for_overlays()))
    # Containers with other user ids pass through here on the way to their root.
    private.chmod(0o711)
    for name, variable in (("state", "LABKIT_STATE"), ("work", "LABKIT_WORK")):
        (private / name).mkdir(mode=0o755)
        os.environ[variable] = str(private / name)
    os.environ[MARK] = uuid.uuid4().hex
    config.stash[PRIVATE] = private


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory, unless something is still mounted in it."""
    private = config.stash.get(PRIVATE, None)
    if private is None:
        return
    del os.environ["LABKIT_STATE"], os.environ["LABKIT_WORK"], os.environ[MARK]
    # Before rmtree, because it would walk through a forgotten bind mount of the host.
    if any(Path(point).is_relative_to(private) for point, _ in mounts()):
        print(f"kept, because something is still mounted there: {private}")
    else:
        shutil.rmtree(private)


def mounts() -> list[tuple[str, str]]:
    """Return (mount point, type) of each mount that this process sees, oldest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    rows = [line.split(" - ") for line in lines]
    return [(left.split()[4], right.split()[0]) for left, right in rows]


def place_for_overlays() -> Path:
    """Return a directory on a file system that can hold an overlay's changes."""
    places = [os.environ.get("LABKIT_TEST_DIR", "/var/tmp"), "/var/lib", "/dev/shm"]
    for place in map(Path, places):
        if os.access(place, os.W_OK) and fstype_of(place) not in ("overlay", "nfs4"):
            return place
    raise pytest.UsageError("set LABKIT_TEST_DIR to a directory that is on no overlay")


def fstype_of(path: Path) -> str:
    """Return the type of the file system that a path is on."""
    above = [(p, t) for p, t in mounts() if path.resolve().is_relative_to(p)]
    # The longest mount point is nearest; of two equal ones the later hides the other.
    return max(enumerate(above), key=lambda row: (len(row[1][0]), row[0]))[1][1]
