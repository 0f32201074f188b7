"""What -v, --mount and --tmpfs say becomes a value."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.volumes.mounts import (
    Kind,
    Mount,
    in_order,
    read_mount,
    read_tmpfs,
    read_volume,
)


def test_a_host_path_is_a_bind_and_made_when_it_is_missing() -> None:
    assert read_volume("/h:/c:ro") == Mount(
        Kind.BIND, "/h", "/c", readonly=True, make_source=True
    )


def test_a_path_from_here_is_a_bind() -> None:
    assert read_volume("./h:/c").source == os.path.abspath("h")
    assert read_volume("~/h:/c").source == os.path.expanduser("~/h")


def test_a_name_is_a_volume_and_none_as_well() -> None:
    assert read_volume("data:/c") == Mount(Kind.VOLUME, "data", "/c")
    assert read_volume("/c") == Mount(Kind.VOLUME, "", "/c")


def test_options_are_read() -> None:
    mount = read_volume("data:/c:ro,nocopy,z,rslave")
    assert (mount.readonly, mount.seed, mount.propagation) == (True, False, "rslave")


def test_a_mount_is_read_by_its_words() -> None:
    text = "type=bind,src=/h,dst=/c,readonly,bind-propagation=shared"
    assert read_mount(text) == Mount(Kind.BIND, "/h", "/c", True, "shared")
    text = "type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=700"
    assert read_mount(text).options == ("size=1m", "mode=700")
    assert read_mount("source=data,target=/c,volume-nocopy").seed is False
    assert read_mount("source=data,target=/c,readonly=false").readonly is False


def test_a_tmpfs_is_read() -> None:
    mount = read_tmpfs("/run:size=64k,ro")
    assert (mount.readonly, mount.options) == (True, ("size=64k",))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_volume, ""),
        (read_volume, "a:b"),
        (read_volume, "/a:/"),
        (read_volume, "/a:/b:rx"),
        (read_volume, "a:b:c:d"),
        (read_volume, ":/c"),
        (read_mount, ""),
        (read_mount, "type=bind,target=/c"),
        (read_mount, "type=tmpfs,source=/h,target=/c"),
        (read_mount, "type=nfs,target=/c"),
        (read_mount, "colour=red"),
        (read_tmpfs, "run"),
    ],
)
def test_what_can_not_be_read_is_told_in_three_lines(read: object, text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(text)  # type: ignore[operator]
    assert len(str(refused.value).splitlines()) == 3


@given(st.text(alphabet="/ab:.~,ro=", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_volume, read_mount, read_tmpfs):
        try:
            assert read(text).target.startswith("/")
        except DocumentError as refused:
            assert refused.hint


def test_one_in_another_comes_after_it() -> None:
    mounts = [read_volume(f"x:{place}") for place in ("/a/b", "/a-b", "/a")]
    assert [mount.target for mount in in_order(mounts)] == ["/a", "/a/b", "/a-b"]
