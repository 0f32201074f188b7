"""Words of mount(8) and of config.json, sorted by the call that can do them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.linux import MS
from labkit.linux.flags import MOUNT_ATTR
from labkit.primitives.mount_options import MountOptions, known_words


def test_flags_go_to_mount_and_attributes_to_mount_setattr() -> None:
    options = MountOptions.of(["ro", "nosuid", "nodev"])
    assert options.flags == MS.RDONLY | MS.NOSUID | MS.NODEV
    assert options.set == MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV


def test_the_last_of_two_opposites_counts() -> None:
    assert MountOptions.of(["ro", "rw"]).flags == MS(0)
    assert MountOptions.of(["ro", "rw"]).clear == MOUNT_ATTR.RDONLY
    assert MountOptions.of(["rw", "ro"]).set == MOUNT_ATTR.RDONLY
    assert MountOptions.of(["rw", "ro"]).clear == MOUNT_ATTR(0)


@pytest.mark.parametrize(
    ("word", "bit"),
    [("noatime", MOUNT_ATTR.NOATIME), ("strictatime", MOUNT_ATTR.STRICTATIME)],
)
def test_a_choice_of_three_clears_the_other_two(word: str, bit: MOUNT_ATTR) -> None:
    options = MountOptions.of(["relatime", "noatime", word])
    assert options.set == bit
    assert options.clear == MOUNT_ATTR.ATIMES


def test_an_r_before_a_word_reaches_the_mounts_below() -> None:
    options = MountOptions.of(["rro", "rnosuid", "rdev"])
    assert options.set_below == MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID
    assert options.clear_below == MOUNT_ATTR.NODEV
    assert (options.set, options.flags) == (MOUNT_ATTR(0), MS(0))


def test_binds_and_propagation_have_calls_of_their_own() -> None:
    options = MountOptions.of(["rbind", "rslave"])
    assert options.below
    assert options.propagation == MS.SLAVE | MS.REC
    assert not MountOptions.of(["bind"]).below


def test_what_nobody_knows_goes_to_the_file_system() -> None:
    options = MountOptions.of(["size=64k", "nosuid", "mode=755", "defaults"])
    assert options.data == "size=64k,mode=755"


@settings(deadline=None)  # other tests may be running
@given(st.lists(st.sampled_from(known_words())))
def test_no_known_word_reaches_the_file_system(words: list[str]) -> None:
    options = MountOptions.of(words)
    assert options.data == ""
    assert options.set & options.clear & ~MOUNT_ATTR.ATIMES == MOUNT_ATTR(0)
