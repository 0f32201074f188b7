"""The doctor: what it says about machines of every kind, and what to do there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from labkit.doctor import Report, Tier, Word, examine, tier
from labkit.doctor.remedies import OWN_CGROUP
from labkit.errors import DocumentError
from labkit.host import (
    CgroupLayout,
    Controller,
    Distribution,
    Host,
    Layout,
    Place,
    Privilege,
    StatePlace,
    Tool,
    Trial,
    Trials,
    UserNamespaces,
)
from labkit.linux.flags import CAP, NamespaceType
from labkit.linux.views import HostPath

GROUP = HostPath("/sys/fs/cgroup")
NAMES = ("memory", "pids", "cpu", "io", "freezer")
ALL = Trials(tuple((trial, "") for trial in Trial))


def cgroups(layout: Layout, version: int, *ours: str) -> CgroupLayout:
    """A layout with the usual controllers, of which these may be changed."""
    controllers = tuple(
        Controller(name, version, GROUP, GROUP if name in ours else None)
        for name in NAMES
    )
    return CgroupLayout(layout, controllers, offered=frozenset(NAMES))


NFT = Tool("nft", HostPath("/usr/sbin/nft"))
ROOT = Host(
    "6.18.1",
    Privilege(root=True, capabilities=frozenset(CAP)),
    trials=ALL,
    cgroups=cgroups(Layout.HYBRID, 1, *NAMES),
    busybox=HostPath("/bin/busybox"),
    state=StatePlace(HostPath("/var/lib/labkit"), "ext4"),
    tools=(NFT,),
    user="root",
)
USER = replace(
    ROOT,
    privilege=Privilege(root=False),
    trials=Trials(tuple((t, "") for t in Trial if t is not Trial.OVERLAY)),
    cgroups=cgroups(Layout.UNIFIED, 2),
    place=Place(systemd=True),
    user="ada",
)


def words(report: Report) -> dict[str, str]:
    """The word of each chapter."""
    return {one.number: one.word.value for one in report.chapters}


def remedies(report: Report, number: str) -> list[str]:
    """What the doctor says to do for one chapter."""
    return [finding.remedy for finding in report.chapter(number).findings]


def test_root_has_everything() -> None:
    report = examine(ROOT)
    assert set(words(report).values()) == {"real"}
    assert report.exit_code == 0
    assert report.line() == (
        "root on Linux 6.18, cgroup v1 (hybrid): "
        "everything in chapters 00-14 is real here"
    )


def test_a_chapters_line_is_about_that_chapter() -> None:
    assert examine(ROOT).line("02").endswith("everything in this chapter is real here")


def test_an_unknown_chapter_is_named() -> None:
    with pytest.raises(DocumentError, match='chapter "7"'):
        examine(ROOT).line("7")


def test_an_ordinary_user_is_told_which_chapters_begin_as_root() -> None:
    report = examine(USER)
    assert words(report) == {
        "00": "partly",
        "01": "real",
        "02": "not here",
        "03": "not here",
        "04": "partly",
        "05": "partly",
        "06": "partly",
        "07": "partly",
        "08": "not here",
        "09": "not here",
        "10": "not here",
        "11": "partly",
        "12": "real",
        "13": "not here",
        "14": "not here",
    }
    assert any("make lab TIER=vm" in remedy for remedy in remedies(report, "02"))
    assert report.exit_code == 1


def test_a_user_on_systemd_is_told_how_to_get_a_cgroup() -> None:
    assert set(remedies(examine(USER), "03")) == {OWN_CGROUP}
    assert "systemd-run --user --scope -p Delegate=yes" in examine(USER).text()


def test_a_delegated_cgroup_makes_limits_real() -> None:
    delegated = replace(USER, cgroups=cgroups(Layout.UNIFIED, 2, *NAMES))
    assert examine(delegated).chapter("03").word is Word.REAL


def test_a_delegation_without_cpu_names_what_is_missing() -> None:
    some = replace(
        USER, cgroups=cgroups(Layout.UNIFIED, 2, "memory", "pids", "freezer")
    )
    chapter = examine(some).chapter("03")
    assert chapter.word is Word.PARTLY
    assert [one.need for one in chapter.findings] == ["CPU limits", "I/O limits"]
    assert all("Delegate=cpu cpuset io" in one.remedy for one in chapter.findings)


def test_without_systemd_only_root_gives_a_cgroup() -> None:
    plain = replace(USER, place=Place())
    assert set(remedies(examine(plain), "03")) == {
        "start the lab as root: sudo make lab"
    }


def test_a_controller_that_linux_switched_off_needs_a_boot_option() -> None:
    groups = cgroups(Layout.UNIFIED, 2, *NAMES[1:])
    without = CgroupLayout(
        Layout.UNIFIED, groups.controllers[1:], offered=frozenset(NAMES[1:])
    )
    finding = examine(replace(ROOT, cgroups=without)).chapter("03").findings[0]
    assert finding.observed == "this Linux offers no memory controller"
    assert "cgroup_enable=memory" in finding.remedy


FORBIDDEN = Trials(((Trial.USER_NAMESPACE, 'write_file("/proc/self/uid_map"): EPERM'),))


@pytest.mark.parametrize(
    ("switches", "remedy"),
    [
        (UserNamespaces(limit=0), "sudo sysctl user.max_user_namespaces=15000"),
        (
            UserNamespaces(9, unprivileged_clone=False),
            "sudo sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            UserNamespaces(9, apparmor_restricts=True),
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04)",
        ),
        (UserNamespaces(9), "start the lab as root: sudo make lab"),
    ],
)
def test_the_switch_that_forbids_namespaces_is_named(
    switches: UserNamespaces, remedy: str
) -> None:
    report = examine(replace(USER, trials=FORBIDDEN, user_namespaces=switches))
    assert report.chapter("04").word is Word.NOT_HERE
    assert remedy in remedies(report, "04")


def test_where_only_root_may_a_part_of_chapter_04_is_not_real() -> None:
    ubuntu = UserNamespaces(9, apparmor_restricts=True)
    report = examine(replace(ROOT, user_namespaces=ubuntu))
    assert report.chapter("04").word is Word.PARTLY
    assert "apparmor_restrict_unprivileged_userns=0" in remedies(report, "04")[0]
    assert report.chapter("05").word is Word.REAL


def test_what_was_not_tried_has_the_reason_of_what_was() -> None:
    report = examine(replace(USER, trials=FORBIDDEN))
    observed = {finding.observed for finding in report.chapter("05").findings}
    assert observed == {'write_file("/proc/self/uid_map"): EPERM', "you are not root"}


def test_a_container_is_to_be_started_with_more_privileges() -> None:
    container = replace(
        ROOT,
        privilege=Privilege(root=True, capabilities=frozenset({CAP.SYS_CHROOT})),
        place=Place(container="docker"),
        trials=Trials(((Trial.USER_NAMESPACE, "unshare(CLONE_NEWUSER): EPERM"),)),
    )
    report = examine(container)
    assert report.chapter("02").word is Word.REAL
    assert all("--privileged" in remedy for remedy in remedies(report, "05"))


def test_binder_is_told_where_else_to_go() -> None:
    binder = replace(
        USER, place=Place(container="docker", binder=True), trials=FORBIDDEN
    )
    assert all("Binder" in remedy for remedy in remedies(examine(binder), "04"))


def test_state_on_an_overlay_takes_the_chapters_with_layers() -> None:
    on_overlay = replace(ROOT, state=StatePlace(HostPath("/var/lib/labkit"), "overlay"))
    report = examine(on_overlay)
    assert {n for n, word in words(report).items() if word != "real"} == {
        "00",
        "06",
        "07",
        "08",
        "09",
        "10",
        "11",
        "13",
        "14",
    }
    assert "LABKIT_STATE" in remedies(report, "06")[0]


@pytest.mark.parametrize(("release", "missing"), [("6.1.0", True), ("6.6.0", False)])
def test_a_tmpfs_holds_an_ordinary_users_layers_since_linux_6_6(
    release: str, missing: bool
) -> None:
    place = StatePlace(HostPath("/tmp/labkit"), "tmpfs")
    report = examine(replace(USER, state=place, release=release))
    needs = {one.need for one in report.chapter("07").findings}
    assert ("upper directories" in needs) is missing
    as_root = examine(replace(ROOT, state=place, release=release))
    assert as_root.chapter("07").findings == ()


def test_state_that_cannot_be_written_takes_every_chapter() -> None:
    place = StatePlace(HostPath("/var/lib/labkit"), "ext4", writable=False)
    assert set(words(examine(replace(ROOT, state=place))).values()) == {"not here"}


def test_without_a_busybox_the_package_is_named() -> None:
    fedora = replace(ROOT, busybox=None, distribution=Distribution("fedora", "41"))
    assert remedies(examine(fedora), "02") == ["sudo dnf install busybox"]


def test_a_busybox_that_can_be_downloaded_is_enough() -> None:
    tools = (Tool("apt-get", HostPath("/a")), Tool("dpkg-deb", HostPath("/d")), NFT)
    assert examine(replace(ROOT, busybox=None, tools=tools)).exit_code == 0


def test_a_missing_kind_of_namespace_is_named() -> None:
    kinds = frozenset(NamespaceType) - {NamespaceType.TIME}
    privilege = replace(ROOT.privilege, kinds=kinds)
    chapter = examine(replace(ROOT, privilege=privilege)).chapter("04")
    assert chapter.word is Word.PARTLY
    assert chapter.findings[0].observed == "this Linux has no time namespace"


def test_one_remedy_is_said_once_for_all_that_it_gives() -> None:
    assert examine(USER).text().count(OWN_CGROUP) == 1


def test_the_table_is_aligned() -> None:
    rows = [line for line in examine(USER).text().splitlines() if line[2:4].isdigit()]
    assert len(rows) == 15
    assert (
        len({row.index(word) for row, word in zip(rows, column(rows), strict=True)})
        == 1
    )


def column(rows: list[str]) -> list[str]:
    """The word in each row."""
    return [next(word.value for word in Word if f"  {word}" in row) for row in rows]


def test_the_report_goes_through_json() -> None:
    document = json.loads(json.dumps(examine(USER).to_json()))
    assert document["exit_code"] == 1
    assert document["chapters"][3]["missing"][0]["remedy"] == OWN_CGROUP


def test_this_machine_can_be_examined(host: Host) -> None:
    report = examine(host)
    assert report.text().startswith(report.line())
    assert report == examine(host)


NOTHING = replace(USER, trials=Trials(tuple((t, "EPERM") for t in Trial)))


@pytest.mark.parametrize(
    ("host", "chosen"), [(ROOT, Tier.ROOT), (USER, Tier.USER), (NOTHING, Tier.VM)]
)
def test_the_tier_is_the_least_between_notebook_and_linux(
    host: Host, chosen: Tier
) -> None:
    assert tier(host) is chosen


def test_root_who_is_allowed_nothing_gets_the_vm() -> None:
    assert tier(replace(NOTHING, privilege=Privilege(root=True))) is Tier.VM
