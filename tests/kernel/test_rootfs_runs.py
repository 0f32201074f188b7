"""The lab's root really is one: processes live in it and need nothing of the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from labkit import state
from labkit.errors import HostError
from labkit.host import Host, Trial
from labkit.linux import MS, Linux
from labkit.linux.views import HostPath
from labkit.rootfs import RootFilesystem, rootfs
from tests.kernel.changed_child import in_child
from tests.support.skips import need


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RootFilesystem:
    """A root in a state directory of this test's own."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return rootfs("alpine")


@pytest.fixture
def namespaces(host: Host) -> None:
    """Only where mount namespaces can be made."""
    works = host.trials.works(Trial.MOUNTS)
    need("namespaces", works, host.trials.failure(Trial.MOUNTS))


def run_inside(root: RootFilesystem, command: str) -> str:
    """Run a shell command with this root, through chroot, with an empty environment."""

    def enter(linux: Linux) -> str:
        linux.chroot(root.path)
        linux.chdir("/")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return f"{done.returncode} {done.stdout}"

    return in_child(enter)


@pytest.mark.usefixtures("namespaces")
def test_its_shell_runs_with_nothing_of_the_host(root: RootFilesystem) -> None:
    assert run_inside(root, "echo hello from $0") == "0 hello from /bin/sh\n"


@pytest.mark.usefixtures("namespaces")
def test_it_knows_its_users_and_itself(root: RootFilesystem) -> None:
    said = run_inside(root, "whoami; . /etc/os-release; echo $NAME")
    assert said == "0 root\nlabkit alpine-like\n"


@pytest.mark.usefixtures("namespaces")
def test_apk_is_not_there(root: RootFilesystem) -> None:
    assert run_inside(root, "apk add curl") == "127 /bin/sh: apk: not found\n"


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("tool", ["ls", "ps", "mount", "awk", "ip", "vi", "wget", "dd"])
def test_the_tools_of_the_chapters_are_found(root: RootFilesystem, tool: str) -> None:
    assert run_inside(root, f"which {tool}").startswith("0 /")


@pytest.mark.usefixtures("namespaces")
def test_it_is_not_touched_while_something_is_mounted_in_it(
    root: RootFilesystem, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/letter").write_text("the user's own")

    def mount_and_remove(linux: Linux) -> str:
        linux.mount(str(tmp_path / "precious"), f"{root.path}/mnt", None, MS.BIND, None)
        found = []
        for act in (root.remove, rootfs, lambda: root.copy(str(tmp_path / "copy"))):
            with pytest.raises(HostError) as caught:
                act()
            found.append(str(caught.value).splitlines()[0])
        return "\n".join(found)

    line = f"{root.path}: {root.path}/mnt is a mount point"
    assert in_child(mount_and_remove).splitlines() == [line] * 3
    assert (tmp_path / "precious/letter").read_text() == "the user's own"


@pytest.mark.usefixtures("namespaces")
def test_upper_directories_find_a_place_only_off_an_overlay(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = host.trials.works(Trial.OVERLAY_IN_USER_NAMESPACE)
    need("overlay", works, host.trials.failure(Trial.OVERLAY_IN_USER_NAMESPACE))
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    place = str(tmp_path)

    def on_both(linux: Linux) -> str:
        linux.mount("tmpfs", place, "tmpfs", MS(0), None)
        first = state.layers_directory("upper").removeprefix(place)
        for name in ("lower", "upper", "work", "state"):
            os.makedirs(f"{place}/{name}", exist_ok=True)
        layers = ",".join(f"{n}dir={place}/{n}" for n in ("lower", "upper", "work"))
        linux.mount(
            "overlay", f"{place}/state", "overlay", MS(0), f"{layers},userxattr"
        )
        with pytest.raises(HostError) as caught:
            state.layers_directory("upper")
        return f"{first}\n{caught.value}"

    lines = in_child(on_both).splitlines()
    assert lines[0] == "/state/upper"
    assert lines[1] == f"state directory {place}/state/upper: lies on an overlay"
    assert "LABKIT_STATE" in lines[3]


def test_a_root_can_be_fetched_from_the_distribution_without_being_root(
    tmp_path: Path, host: Host
) -> None:
    from labkit.rootfs.busybox import examine, fetch

    apt = host.tool("apt-get") and host.tool("dpkg-deb")
    need("apt", apt, "this distribution has no apt-get")
    try:
        program = fetch(HostPath(str(tmp_path)), lambda line: None)
    except HostError as error:
        need("mirror", False, f"the distribution's mirror: {error.meaning}")
    assert examine(program).applets
