"""A plan goes through JSON and comes out equal; what isn't a plan is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.errors import DocumentError
from labkit.linux import CLONE, MS, HostPath, Linux
from labkit.plan import FunctionStep, Plan, Step, step
from labkit.plan.plan import Plan as PlanType
from labkit.plan.serial import from_json, to_json
from labkit.plan.together import Together
from labkit.primitives.cgroups import JoinCgroup
from labkit.primitives.idmap import WriteIdMaps
from labkit.primitives.ids import IdMapping
from labkit.primitives.mounts import MakePrivate, Mask, MountFilesystem
from labkit.primitives.namespaces import ALL, SetHostname, Unshare
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.process import Exec, Fork
from labkit.primitives.start_gate import AwaitStart

STEPS: tuple[Step, ...] = (
    Unshare(ALL),
    Unshare(CLONE.NEWUSER | CLONE.NEWNS),
    MakePrivate(),
    SetHostname("bäx\udcff"),
    MountOverlay(("/a", "/b"), "upper", "work", "merged", userxattr=True),
    MountFilesystem("tmpfs", "/tmp", MS.NOSUID, "size=1m"),
    JoinCgroup("box", (HostPath("/sys/fs/cgroup/labkit-box"),)),
    WriteIdMaps((IdMapping(0, 100000, 65536),), (IdMapping(0, 100000, 65536),)),
    Together.of("hide two", Mask("/a"), Together.of("one more", Mask("/b"))),
    AwaitStart(7, 8),
    Fork(),
    Exec(["sh", "-c", "true"]),
    Exec(["sh"], {"A": "b=c", "Ä": ""}),
)


def through_json(plan: PlanType) -> PlanType:
    """Write a plan as text, and read it again."""
    return from_json(json.loads(json.dumps(to_json(plan))))


@pytest.mark.parametrize("one", STEPS, ids=repr)
def test_a_step_comes_out_equal(one: Step) -> None:
    (read,) = through_json(Plan(one))
    assert read == one and type(read) is type(one)
    assert read.describe() == one.describe()


def test_a_flag_is_a_flag_again() -> None:
    (read,) = through_json(Plan(Unshare(CLONE.NEWPID)))
    assert isinstance(read, Unshare) and isinstance(read.flags, CLONE)


def test_the_order_stays() -> None:
    assert through_json(Plan(*STEPS)) == Plan(*STEPS)


@pytest.mark.parametrize(
    "value",
    [b"\0\xff", ["a", 1], {"a": (1, None)}, frozenset({1, 2}), 1.5, True, None],
    ids=repr,
)
def test_any_plain_value_comes_out_equal(value: object, kept: Path) -> None:
    one = FunctionStep(function_of(kept), (value,), {"name": value})
    (read,) = through_json(Plan(one))
    assert isinstance(read, FunctionStep)
    assert (read.args, read.kwargs) == ((value,), {"name": value})


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with a function of a learner's."""
    path = tmp_path / "my_container.py"
    path.write_text("def prints(linux, text):\n    print('kept', text)\n")
    return path


def function_of(path: Path) -> object:
    """Return the function `prints` of a file, as an import would."""
    scope: dict[str, object] = {}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    return scope["prints"]


def test_a_kept_function_is_found_by_its_file_and_name(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (read,) = through_json(Plan(step(function_of(kept), "x")))  # type: ignore[arg-type]
    read.apply(Linux())
    assert capsys.readouterr().out == "kept x\n"


def test_a_kept_function_is_read_afresh(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = to_json(Plan(step(function_of(kept), "x")))  # type: ignore[arg-type]
    kept.write_text("def prints(linux, text):\n    print('changed')\n")
    from_json(written).steps[0].apply(Linux())
    assert capsys.readouterr().out == "changed\n"


def test_a_function_that_was_not_kept_is_refused() -> None:
    def mine(linux: Linux) -> None:
        """Stand in no file's top level."""

    with pytest.raises(DocumentError, match="stands in no file"):
        to_json(Plan(step(mine)))
    with pytest.raises(DocumentError, match="stands in no file"):
        to_json(Plan(step(lambda linux: None)))


def test_a_kept_file_that_is_gone_or_no_python_is_told(kept: Path) -> None:
    written = to_json(Plan(step(function_of(kept), "x")))  # type: ignore[arg-type]
    kept.write_text("def other(linux): pass")
    with pytest.raises(DocumentError, match="has no function prints"):
        from_json(written)
    kept.write_text("def (")
    with pytest.raises(DocumentError, match="SyntaxError"):
        from_json(written)
    kept.unlink()
    with pytest.raises(DocumentError, match="FileNotFoundError"):
        from_json(written)


def test_a_value_that_means_nothing_elsewhere_is_refused(kept: Path) -> None:
    with open(kept) as file, pytest.raises(DocumentError, match="can't be written"):
        to_json(Plan(FunctionStep(function_of(kept), (file,))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "no plan"),
        ([], "no plan"),
        ({"steps": [7]}, "/steps/0: no step"),
        ({"steps": [{"type": "os.system", "fields": {}}]}, "no such type"),
        ({"steps": [{"type": "labkit.no.such", "fields": {}}]}, "no such type"),
        ({"steps": [{"type": "labkit.errors.os", "fields": {}}]}, "no such type"),
        (
            {"steps": [{"type": "labkit.primitives.root.Chdir", "fields": {"x": 1}}]},
            "has other fields than x",
        ),
        ({"steps": [{"what": 1}]}, "no value of a plan"),
        ({"steps": [{}]}, "no value of a plan"),
    ],
)
def test_what_is_no_plan_is_refused(document: object, words: str) -> None:
    with pytest.raises(DocumentError, match=words):
        from_json(document)  # type: ignore[arg-type]
