"""config.json becomes typed values; what is wrong is told with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DocumentError
from labkit.linux.flags import NamespaceType
from labkit.linux.views import HostPath
from labkit.runtime.spec import Spec
from labkit.runtime.spec.resources import DeviceRule

Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    return json.loads(json.dumps(Spec.default().raw))


def test_the_example_is_read_as_it_is_written() -> None:
    spec = Spec.default()
    assert spec.process is not None
    assert spec.process.args == ("sh",)
    assert spec.process.capabilities is not None
    assert "CAP_KILL" in spec.process.capabilities.bounding
    assert spec.linux.namespace(NamespaceType.PID) is not None
    assert spec.linux.namespace(NamespaceType.USER) is None
    assert spec.linux.resources.devices == (DeviceRule(allow=False),)
    assert [mount.type for mount in spec.mounts][:2] == ["proc", "tmpfs"]


def test_the_example_for_an_ordinary_user_has_a_user_namespace() -> None:
    spec = Spec.default(rootless=True)
    assert spec.linux.namespace(NamespaceType.USER) is not None
    assert spec.linux.namespace(NamespaceType.NETWORK) is None
    assert not any("gid=5" in mount.options for mount in spec.mounts)


# What is changed in the example, and where the error says it is.
WRONG: list[tuple[str, Change, str]] = [
    ("no version", lambda d: d.pop("ociVersion"), "/ociVersion"),
    ("another major version", lambda d: d.update(ociVersion="2.0.0"), "/ociVersion"),
    ("no version at all", lambda d: d.update(ociVersion="new"), "/ociVersion"),
    ("no root", lambda d: d.pop("root"), "/root"),
    ("root without path", lambda d: d["root"].pop("path"), "/root/path"),
    ("root is text", lambda d: d.update(root="rootfs"), "/root"),
    ("readonly is text", lambda d: d["root"].update(readonly="yes"), "/root/readonly"),
    ("no cwd", lambda d: d["process"].pop("cwd"), "/process/cwd"),
    ("relative cwd", lambda d: d["process"].update(cwd="work"), "/process/cwd"),
    ("cwd is a number", lambda d: d["process"].update(cwd=5), "/process/cwd"),
    ("a NUL in a text", lambda d: d["process"].update(cwd="/a\0b"), "/process/cwd"),
    ("half a letter", lambda d: d["process"].update(cwd="/\ud800"), "/process/cwd"),
    ("args is text", lambda d: d["process"].update(args="sh"), "/process/args"),
    ("a word is a number", lambda d: d["process"].update(args=["sh", 1]),
     "/process/args/1"),
    ("a variable without =", lambda d: d["process"].update(env=["A=b", "C"]),
     "/process/env/1"),
    ("uid is text", lambda d: d["process"]["user"].update(uid="root"),
     "/process/user/uid"),
    ("uid is true", lambda d: d["process"]["user"].update(uid=True),
     "/process/user/uid"),
    ("uid below zero", lambda d: d["process"]["user"].update(uid=-1),
     "/process/user/uid"),
    ("a group is text", lambda d: d["process"]["user"].update(additionalGids=[1, "x"]),
     "/process/user/additionalGids/1"),
    ("a limit twice", lambda d: d["process"]["rlimits"].append(
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}), "/process/rlimits/1/type"),
    ("soft above hard", lambda d: d["process"].update(
        rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
     "/process/rlimits/0/soft"),
    ("a score too high", lambda d: d["process"].update(oomScoreAdj=2000),
     "/process/oomScoreAdj"),
    ("a mount without place", lambda d: d["mounts"].insert(0, {"type": "proc"}),
     "/mounts/0/destination"),
    ("a mount without type", lambda d: d["mounts"].append({"destination": "/x"}),
     "/mounts/7/type"),
    ("a bind without source", lambda d: d["mounts"].append(
        {"destination": "/x", "options": ["bind"]}), "/mounts/7/source"),
    ("a mount is text", lambda d: d["mounts"].append("/proc"), "/mounts/7"),
    ("mounts is an object", lambda d: d.update(mounts={}), "/mounts"),
    ("a hook with a relative path", lambda d: d.update(
        hooks={"prestart": [{"path": "hook"}]}), "/hooks/prestart/0/path"),
    ("a hook that may take no time", lambda d: d.update(
        hooks={"poststop": [{"path": "/x", "timeout": 0}]}),
     "/hooks/poststop/0/timeout"),
    ("an unknown namespace", lambda d: d["linux"]["namespaces"].append({"type": "x"}),
     "/linux/namespaces/6/type"),
    ("a namespace twice", lambda d: d["linux"]["namespaces"].append({"type": "pid"}),
     "/linux/namespaces/6/type"),
    ("a relative path to one", lambda d: d["linux"].update(
        namespaces=[{"type": "pid", "path": "x"}]), "/linux/namespaces/0/path"),
    ("offsets without clocks of its own", lambda d: d["linux"].update(
        timeOffsets={"boottime": {"secs": 1}}), "/linux/timeOffsets"),
    ("an id map of no length", lambda d: d["linux"].update(
        uidMappings=[{"containerID": 0, "hostID": 0, "size": 0}]),
     "/linux/uidMappings/0/size"),
    ("an unknown device type", lambda d: d["linux"].update(
        devices=[{"path": "/dev/x", "type": "z"}]), "/linux/devices/0/type"),
    ("a device rule with a letter too many", lambda d: d["linux"]["resources"].update(
        devices=[{"allow": True, "access": "rx"}]),
     "/linux/resources/devices/0/access"),
    ("a memory limit as text", lambda d: d["linux"]["resources"].update(
        memory={"limit": "64M"}), "/linux/resources/memory/limit"),
    ("pids is a number", lambda d: d["linux"]["resources"].update(pids=5),
     "/linux/resources/pids"),
    ("a rate without a disk", lambda d: d["linux"]["resources"].update(
        blockIO={"throttleReadBpsDevice": [{"rate": 1}]}),
     "/linux/resources/blockIO/throttleReadBpsDevice/0/major"),
    ("an unknown propagation", lambda d: d["linux"].update(rootfsPropagation="up"),
     "/linux/rootfsPropagation"),
    ("a setting that is a number", lambda d: d["linux"].update(
        sysctl={"net.core.somaxconn": 1}), "/linux/sysctl/net.core.somaxconn"),
    ("a filter without default", lambda d: d["linux"].update(seccomp={}),
     "/linux/seccomp/defaultAction"),
    ("an argument that no call has", lambda d: d["linux"].update(seccomp={
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["mount"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
     "/linux/seccomp/syscalls/0/args/0/index"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "place"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_field_is_told_by_its_place(change: Change, place: str) -> None:
    wrong = document()
    change(wrong)
    with pytest.raises(DocumentError) as refused:
        Spec.from_json(wrong)
    assert refused.value.message.startswith(f"config.json: {place}: ")
    assert refused.value.hint


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.2.0", "1.3.0-rc.1"])
def test_every_version_1_is_taken(version: str) -> None:
    assert Spec.from_json({**document(), "ociVersion": version}).oci_version == version


def test_fields_that_nobody_knows_are_passed_over() -> None:
    more = {**document(), "org.example": {"x": [1]}, "windows": {"layerFolders": []}}
    assert Spec.from_json(more) == Spec.default()


def test_what_is_missing_has_its_default() -> None:
    spec = Spec.from_json({"ociVersion": "1.0.0", "root": {"path": "r"}})
    assert (spec.process, spec.mounts, spec.hostname) == (None, (), "")
    assert spec.linux.resources.memory.limit is None


def test_a_bundle_without_a_document_is_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file or directory"):
        Spec.read(HostPath(str(tmp_path)))


def test_a_document_that_is_no_json_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"ociVersion": "1.0.0",\n "root" {}}')
    with pytest.raises(DocumentError, match="line 2 column"):
        Spec.read(HostPath(str(tmp_path)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value of a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            found += places(inner, (*path, number))
    return found


EXAMPLE = document()


@settings(deadline=None)  # other tests may be running
@given(st.sampled_from(places(EXAMPLE)), JSON)
def test_any_value_anywhere_is_understood_or_refused_as_a_document(
    path: tuple[Any, ...], value: object
) -> None:
    crafted = copy.deepcopy(EXAMPLE)
    at: Any = crafted
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    try:
        Spec.from_json(crafted)
    except DocumentError as refused:
        assert refused.message.startswith("config.json: /")
