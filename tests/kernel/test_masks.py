"""What a mask hides, it hides for real; and it says so when it can't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.host import Host, Trial
from labkit.linux import Linux
from labkit.primitives.mounts import Mask, ReadonlyPath
from tests.kernel.changed_child import in_child
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("mounts_of_its_own")
SECRET = "a secret"


@pytest.fixture
def mounts_of_its_own(host: Host) -> None:
    """Only where a user namespace and mounts of one's own can be made."""
    works = host.trials.works(Trial.USER_NAMESPACE)
    need("namespaces", works, host.trials.failure(Trial.USER_NAMESPACE))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder with a secret in it."""
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path


def test_a_masked_file_reads_as_empty(secret: Path) -> None:
    def read(linux: Linux) -> str:
        Mask(str(secret / "secret")).apply(linux)
        return f"[{(secret / 'secret').read_text()}]"

    assert in_child(read) == "[]"
    assert (secret / "secret").read_text() == SECRET


def test_a_masked_folder_is_empty(secret: Path) -> None:
    def listing(linux: Linux) -> str:
        Mask(str(secret)).apply(linux)
        return repr(os.listdir(secret))

    assert in_child(listing) == "[]"


def test_a_path_that_is_not_there_needs_no_mask(secret: Path) -> None:
    def nothing(linux: Linux) -> str:
        return str(Mask(str(secret / "missing")).apply(linux))

    assert in_child(nothing) == "None"


def test_without_a_dev_null_a_file_is_not_left_visible_in_silence(secret: Path) -> None:
    def in_a_bare_root(linux: Linux) -> str:
        linux.chroot(str(secret))
        Mask("/secret").apply(linux)
        return "no error"

    assert "NoSuchPath" in in_child(in_a_bare_root)


def test_a_read_only_path_can_be_read_and_not_written(secret: Path) -> None:
    def write(linux: Linux) -> str:
        ReadonlyPath(str(secret)).apply(linux)
        try:
            (secret / "new").write_text("")
        except OSError as refused:
            return f"{refused.strerror}, {(secret / 'secret').read_text()}"
        return "written"

    assert in_child(write) == f"Read-only file system, {SECRET}"
