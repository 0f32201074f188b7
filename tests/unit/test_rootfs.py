"""The lab's own root filesystem: the same everywhere, and put back if damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from labkit import state
from labkit.errors import DocumentError, HostError
from labkit.linux.views import ContainerPath, HostPath
from labkit.rootfs import available, entries, find, require_shell, resolve, rootfs
from labkit.rootfs.alpine import alpine
from labkit.rootfs.busybox import busybox, examine
from labkit.rootfs.entries import directory, file, link


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory for each test."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def fingerprint(root: str) -> str:
    """A digest of every name with its mode, time and content."""
    digest = hashlib.sha256()
    for path in sorted(Path(root).rglob("*")):
        found = path.lstat()
        content = os.readlink(path) if path.is_symlink() else ""
        content += path.read_bytes().hex() if stat.S_ISREG(found.st_mode) else ""
        row = (path.relative_to(root), found.st_mode, found.st_mtime, content)
        digest.update(repr(row).encode())
    return digest.hexdigest()


def damage(root: str, name: str, content: str = "damaged") -> None:
    """Write something else into a file of the root."""
    Path(root, name).write_text(content)


# making


def test_it_holds_the_usual_directories() -> None:
    names = set(os.listdir(rootfs("alpine").path))
    usual = "bin sbin usr etc proc sys dev tmp root var run home"
    assert set(usual.split()) <= names


def test_it_says_that_it_is_the_labs_own() -> None:
    root = Path(rootfs("alpine"))
    assert 'NAME="labkit alpine-like"' in (root / "etc/os-release").read_text()
    assert "there is no apk" in (root / "etc/motd").read_text()


def test_there_is_no_package_manager_in_it() -> None:
    root = Path(rootfs("alpine"))
    assert not [
        place for place in ("bin", "sbin", "usr/bin") if (root / place / "apk").exists()
    ]


def test_every_applet_leads_to_busybox_from_the_host_and_from_inside() -> None:
    root = Path(rootfs("alpine"))
    links = [path for path in root.rglob("*") if path.is_symlink()]
    assert len(links) > 100
    assert {path.resolve() for path in links} == {(root / "bin/busybox").resolve()}
    assert not [path for path in links if os.readlink(path).startswith("/")]


def test_everybody_may_write_to_tmp_and_only_root_to_its_home() -> None:
    root = Path(rootfs("alpine"))
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "root").stat().st_mode) == 0o700


def test_two_builds_are_equal_to_the_second() -> None:
    first = fingerprint(rootfs("alpine").path)
    find("alpine").remove()
    assert fingerprint(rootfs("alpine").path) == first


def test_it_says_what_it_does_and_on_the_second_use_nothing() -> None:
    said: list[str] = []
    rootfs("alpine", said.append)
    assert len(said) == 2
    rootfs("alpine", said.append)
    assert len(said) == 2


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DocumentError) as caught:
        rootfs("bash")
    assert '"bash"' in str(caught.value)
    assert "it can make: alpine" in str(caught.value)


def test_a_name_is_no_path() -> None:
    with pytest.raises(DocumentError):
        rootfs("../alpine")


# reusing


def test_a_changed_file_is_named_and_put_back() -> None:
    root = rootfs("alpine")
    whole = Path(root, "etc/passwd").read_text()
    damage(root.path, "etc/passwd")
    with pytest.warns(UserWarning, match="damaged: /etc/passwd was changed; put back"):
        rootfs("alpine")
    assert Path(root, "etc/passwd").read_text() == whole


def test_a_damaged_program_is_put_back() -> None:
    root = rootfs("alpine")
    with open(Path(root, "bin/busybox"), "r+b") as program:
        program.seek(4096)
        program.write(b"\0" * 16)
    with pytest.warns(UserWarning, match="/bin/busybox was changed"):
        rootfs("alpine")
    assert examine(HostPath(f"{root.path}/bin/busybox")).applets


def test_a_missing_directory_comes_back_with_what_was_in_it() -> None:
    root = rootfs("alpine")
    before = set(os.listdir(Path(root, "sbin")))
    shutil.rmtree(Path(root, "sbin"))
    with pytest.warns(UserWarning, match=r"/sbin is missing and \d+ more"):
        rootfs("alpine")
    assert set(os.listdir(Path(root, "sbin"))) == before


def test_a_changed_mode_is_damage() -> None:
    root = rootfs("alpine")
    Path(root, "bin/busybox").chmod(0o4755)
    with pytest.warns(UserWarning, match="/bin/busybox was changed"):
        rootfs("alpine")
    assert stat.S_IMODE(Path(root, "bin/busybox").stat().st_mode) == 0o755


def test_what_a_chapter_added_is_tidied_without_a_word() -> None:
    root = rootfs("alpine")
    Path(root, "tmp/notes").mkdir()
    damage(root.path, "tmp/notes/one")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rootfs("alpine")
    assert os.listdir(Path(root, "tmp")) == []


def test_a_directory_that_became_a_link_does_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "sh").write_text("the host's own")
    root = rootfs("alpine")
    shutil.rmtree(Path(root, "bin"))
    Path(root, "bin").symlink_to(outside)
    with pytest.warns(UserWarning, match="damaged"):
        rootfs("alpine")
    assert (outside / "sh").read_text() == "the host's own"
    assert Path(root, "bin/sh").is_symlink()


def test_a_tree_that_became_a_link_does_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "letter").write_text("the user's own")
    root = rootfs("alpine")
    shutil.rmtree(root.path)
    os.symlink(outside, root.path)
    rootfs("alpine")
    assert os.listdir(outside) == ["letter"]
    assert not os.path.islink(root.path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"entries": [{}]}', '{"entries": 1}']
)
def test_a_damaged_manifest_is_made_anew(content: str) -> None:
    root = rootfs("alpine")
    Path(f"{root.path}.json").write_text(content)
    rootfs("alpine")
    assert Path(f"{root.path}.json").read_text().startswith('{\n "name": "alpine"')


def test_what_a_killed_build_left_is_removed(own_state: Path) -> None:
    left = own_state / "rootfs" / ".alpine.killed"
    (left / "bin").mkdir(parents=True)
    rootfs("alpine")
    assert sorted(os.listdir(own_state / "rootfs")) == ["alpine", "alpine.json"]


BUILD = "from labkit.rootfs import rootfs; print(rootfs('alpine').path)"


def killed_in_the_middle(folder: Path) -> bool:
    """Begin a build and kill it when its first files are there; say if it was half."""
    with subprocess.Popen([sys.executable, "-c", BUILD]) as build:
        while not list(folder.glob(".alpine.*/alpine/bin")) and build.poll() is None:
            pass
        build.kill()
    return bool(list(folder.glob(".alpine.*")))


def test_after_a_kill_in_the_middle_the_next_use_is_well(own_state: Path) -> None:
    folder = own_state / "rootfs"
    assert any(killed_in_the_middle(folder) for _ in range(10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_shell(rootfs("alpine").path)
    assert sorted(os.listdir(folder)) == ["alpine", "alpine.json"]


def test_a_tree_without_a_manifest_is_made_anew_without_a_word() -> None:
    root = rootfs("alpine")
    os.unlink(f"{root.path}.json")
    damage(root.path, "etc/passwd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rootfs("alpine")
    assert "damaged" not in Path(root, "etc/passwd").read_text()


def test_two_processes_make_one_root() -> None:
    builds = [
        subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    paths = {build.communicate()[0] for build in builds}
    assert len(paths) == 1
    assert [build.returncode for build in builds] == [0, 0, 0]


# copying and removing


def test_a_copy_can_be_damaged_alone(tmp_path: Path) -> None:
    root = rootfs("alpine")
    copy = root.copy(str(tmp_path / "broken"))
    damage(copy.path, "etc/passwd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rootfs("alpine")
    assert "damaged" not in Path(root, "etc/passwd").read_text()


def test_a_copy_is_equal(tmp_path: Path) -> None:
    root = rootfs("alpine")
    assert fingerprint(root.copy(str(tmp_path / "copy")).path) == fingerprint(root.path)


def test_a_copy_takes_no_place_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="exists"):
        rootfs("alpine").copy(str(tmp_path))


def test_removing_twice_is_no_error(own_state: Path) -> None:
    root = rootfs("alpine")
    root.remove()
    root.remove()
    assert os.listdir(own_state / "rootfs") == []


def test_a_copy_is_removed_alone(tmp_path: Path) -> None:
    root = rootfs("alpine")
    root.copy(str(tmp_path / "copy")).remove()
    assert not (tmp_path / "copy").exists()
    assert root.made


def test_available_says_what_is_made() -> None:
    assert [(root.name, root.made) for root in available()] == [("alpine", False)]
    rootfs("alpine")
    assert [root.made for root in available()] == [True]


# looking


def test_the_tree_is_drawn_to_a_depth() -> None:
    lines = str(rootfs("alpine").tree(depth=1)).splitlines()
    assert lines[0] == "alpine: the lab's own, made from busybox; no apk (2 MB)"
    assert lines[1] == "├── bin/"
    assert lines[-1] == "└── var/"


def test_deeper_the_links_are_shown_with_their_targets() -> None:
    assert "│   ├── sh -> busybox" in str(rootfs("alpine").tree(depth=2)).splitlines()


def test_a_depth_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="depth is 0"):
        rootfs("alpine").tree(depth=0)


def test_its_repr_names_no_path() -> None:
    root = rootfs("alpine")
    assert repr(root) == (
        "<root filesystem alpine: the lab's own, made from busybox; no apk>"
    )


# a root without a shell


def test_a_root_with_a_shell_is_accepted() -> None:
    assert require_shell(rootfs("alpine").path) == "/bin/sh"


def lines_of(root: str, shell: str = "/bin/sh") -> list[str]:
    """The lines of the error for a root."""
    with pytest.raises(HostError) as caught:
        require_shell(HostPath(root), ContainerPath(shell))
    return str(caught.value).splitlines()


def test_a_root_without_a_shell_gets_three_lines(tmp_path: Path) -> None:
    lines = lines_of(str(tmp_path))
    assert lines[0] == f"root {tmp_path}: no /bin/sh in it"
    assert "ENOENT" in lines[1]
    assert lines[2].startswith('try: take a root that the lab made: rootfs("alpine")')


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert lines_of(f"{tmp_path}/nowhere")[0].endswith("nowhere: no such directory")


def test_a_shell_that_is_not_executable_is_named() -> None:
    assert "not executable" in lines_of(rootfs("alpine").path, "/etc/passwd")[0]


def test_a_shell_without_its_loader_is_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "bin/sh")
    assert "which isn't in it" in lines_of(str(tmp_path))[0]


def test_links_begin_at_the_root_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").touch()
    (tmp_path / "a").symlink_to("/etc")
    (tmp_path / "b").symlink_to("../../../a/passwd")
    inside = resolve(HostPath(str(tmp_path)), ContainerPath("/b"))
    assert inside == str(tmp_path / "etc/passwd")


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert resolve(HostPath(str(tmp_path)), ContainerPath("/a")) is None


# entries and busybox


def test_the_same_busybox_gives_the_same_entries(tmp_path: Path) -> None:
    box = busybox(HostPath(str(tmp_path)), print)
    assert alpine(box) == alpine(box)


def test_a_manifest_remembers_everything_but_the_content() -> None:
    for entry in (directory("tmp", 0o1777), file("a", b"text"), link("b", "a")):
        again = entries.Entry.from_json(entry.to_json())
        assert again == entries.Entry(entry.path, entry.kind, entry.mode, entry.digest)


def test_a_program_that_is_no_busybox_is_refused() -> None:
    with pytest.raises(HostError, match="can't be used"):
        examine(HostPath("/bin/true"))


def test_a_state_that_cannot_be_written_is_named(
    own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_STATE", "/proc/nowhere")
    with pytest.raises(HostError, match="/proc/nowhere"):
        rootfs("alpine")


def test_a_file_where_the_state_should_be_is_named(own_state: Path) -> None:
    state.directory()
    (own_state / "rootfs").write_text("in the way")
    with pytest.raises(HostError, match="in its place|where the directory"):
        rootfs("alpine")
