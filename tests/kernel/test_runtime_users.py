"""A container in a user namespace: root's, with ranges, and an ordinary user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.host import Host, Privilege, Trial
from labkit.linux.flags import NamespaceType
from labkit.plan import Plan
from labkit.primitives.ids import IdMap
from labkit.primitives.namespaces import Namespaces
from labkit.runtime.spec import Spec
from tests.kernel.bundles import Bundle, with_cgroup
from tests.kernel.ordinary_user import NOBODY, as_ordinary_user
from tests.support.skips import need

IDLE = ("sleep", "100")
FIRST = 200_000


@pytest.fixture(autouse=True)
def user_namespaces(host: Host) -> None:
    """Only where user namespaces can be made."""
    works = host.trials.works(Trial.USER_NAMESPACE)
    need("namespaces", works, host.trials.failure(Trial.USER_NAMESPACE))


def map_ids(bundle: Bundle) -> None:
    """Give a bundle's container a range of ids, and its files to that range."""
    row = {"containerID": 0, "hostID": FIRST, "size": 65_536}
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=[row], gidMappings=[row])
    for path in (bundle.path / "rootfs", *(bundle.path / "rootfs").rglob("*")):
        os.chown(path, FIRST, FIRST, follow_symlinks=False)


def test_root_inside_is_nobody_special_outside(bundle: Bundle) -> None:
    map_ids(bundle)
    with_cgroup(bundle, "users")
    with bundle.running(*IDLE) as container:
        assert container.status("Uid").split() == [str(FIRST)] * 4
        assert IdMap.of(container.pid).uids[0] == (0, FIRST, 65_536)
        owned = Namespaces.of(container.pid) - Namespaces.of("self")
        assert NamespaceType.USER in owned
        assert container.exec("id", "-u") == "0\n"
        assert container.exec("sh", "-c", "echo x > /dev/null; touch /new") == ""
        assert (bundle.path / "rootfs" / "new").stat().st_uid == FIRST


def test_an_ordinary_user_inside_is_another_one_outside(bundle: Bundle) -> None:
    map_ids(bundle)
    bundle.process["user"] = {"uid": 1000, "gid": 50, "additionalGids": [7]}
    with bundle.running(*IDLE) as container:
        assert container.status("Uid").split() == [str(FIRST + 1000)] * 4
        assert container.status("Groups").split() == [str(FIRST + 7)]


@pytest.mark.parametrize("place", ["/data", "/dev/data"])  # the image's, its own
def test_a_source_is_bound_where_its_root_may_not_pass(
    bundle: Bundle, place: str
) -> None:
    map_ids(bundle)
    source = bundle.path / "closed" / "data"
    source.mkdir(parents=True)
    (source / "file").write_text("found\n")
    source.parent.chmod(0o700)
    bundle.document["mounts"] += [
        {"destination": destination, "type": "bind", "source": str(path),
         "options": ["bind", "ro"]}
        for destination, path in ((place, source), (f"{place}.file", source / "file"))
    ]  # fmt: skip
    own = Namespaces.of("self")
    said = bundle.run("sh", "-c", f"cat {place}.file; touch {place}/new")
    assert said.startswith("found\n") and "Read-only file system" in said
    assert Namespaces.of("self") == own  # who went in came back


def test_a_container_joins_another_ones_user_namespace(bundle: Bundle) -> None:
    map_ids(bundle)
    with bundle.running(*IDLE) as first:
        for row in bundle.linux["namespaces"]:
            if row["type"] in ("user", "network"):
                name = {"network": "net"}.get(row["type"], row["type"])
                row["path"] = f"/proc/{first.pid}/ns/{name}"
        with bundle.running(*IDLE) as second:
            differ = Namespaces.of(first.pid) - Namespaces.of(second.pid)
            assert not differ & {NamespaceType.USER, NamespaceType.NETWORK}
            assert second.status("Uid").split() == [str(FIRST)] * 4


def test_an_ordinary_user_starts_a_container_of_her_own(bundle: Bundle) -> None:
    rows = [{"containerID": 0, "hostID": NOBODY, "size": 1}]
    example = Spec.default(rootless=True)
    bundle.document = {**example.raw, "root": {"path": "rootfs"}}
    bundle.linux.update(uidMappings=rows, gidMappings=rows)
    bundle.process.update(terminal=False, rlimits=[])
    for path in (bundle.path, *bundle.path.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    bundle.host = Host(bundle.host.release, Privilege(False))
    said = as_ordinary_user(lambda: bundle.run("sh", "-c", "id -u; id -g"))
    assert said.split() == ["0", "0"]


def test_root_and_an_ordinary_user_have_plans_that_can_be_compared(
    bundle: Bundle,
) -> None:
    map_ids(bundle)
    root: Plan = bundle.plan()
    bundle.linux["namespaces"].pop()
    differ = [type(step).__name__ for step in root - bundle.plan()]
    assert {"WriteIdMaps", "BecomeRoot"} <= set(differ)


def test_the_rootfs_belongs_to_the_range(bundle: Bundle) -> None:
    map_ids(bundle)
    assert bundle.run("stat", "-c", "%u", "/bin/busybox") == "0\n"
    assert Path(bundle.path, "rootfs/bin/busybox").stat().st_uid == FIRST
