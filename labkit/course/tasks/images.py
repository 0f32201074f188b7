"""Exercise 11: an archive's marks become OverlayFS's. The other is in `full_names`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import Run, attempt
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import full_names
from labkit.course.tasks.whiteout import folder
from labkit.course.verdict import Saw
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay_mount import MountOverlay

MarkLayer = Callable[[Linux, str], None]

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def check_mark_layer(mark_layer: MarkLayer, case: Case) -> Saw:
    """Mark a layer in which one file is gone and one directory is replaced."""
    place, cache = (f"srv/{case.seed.name()}/{name}" for name in ("home", "cache"))
    image = _image(case, place, cache)
    layer = _layer(case, place, cache)
    with attempt(mark_layer, str(layer)) as run, _merged(case, layer, image) as merged:
        _must_hide_the_file(run, layer / place, merged / place)
        _must_replace_the_directory(run, layer / cache, merged / cache)
        seen = [path.name for path in merged.rglob(f"{_WHITEOUT}*")]
        run.must(
            not seen,
            f"the container sees {len(seen)} names that begin with .wh.: what the "
            "archive had is still there, beside what you made of it",
        )
        return run.saw("one file is gone, one directory is new, all others are there")


def _image(case: Case, place: str, cache: str) -> Path:
    image = folder(case, "image")
    for path in (f"{place}/password", f"{place}/neighbour", f"{cache}/old"):
        (image / path).parent.mkdir(parents=True, exist_ok=True)
        (image / path).write_text(case.seed.secret())
    return image


def _layer(case: Case, place: str, cache: str) -> Path:
    layer = folder(case, "layer")
    names = (f"{_WHITEOUT}password", "notes.wh.txt")
    paths = [f"{place}/{name}" for name in names]
    for path in (*paths, f"{cache}/{_OPAQUE}", f"{cache}/fresh"):
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).touch()
    return layer


def _must_hide_the_file(run: Run, layer: Path, merged: Path) -> None:
    made = layer / "password"
    if os.path.lexists(merged / "password"):
        run.must(
            os.path.lexists(made),
            "password is still seen: nothing in the layer says in OverlayFS's words "
            "that it is gone. Its mark lies some directories deep",
        )
        run.must(
            not made.is_file(),
            "password is there as an ordinary file. Which kind of file is a whiteout "
            "(chapter 06)?",
        )
        kind = "a device" if stat.S_ISCHR(made.lstat().st_mode) else "no device"
        raise run.failed(f"password is still seen: what you made of its mark is {kind}")
    run.must((merged / "neighbour").exists(), "the neighbour of password is gone, too")
    run.must(
        (merged / "notes.wh.txt").exists(),
        "notes.wh.txt is gone: a mark begins with .wh., and this name has it inside",
    )


def _must_replace_the_directory(run: Run, layer: Path, merged: Path) -> None:
    run.must((merged / "fresh").exists(), "a file of this layer is gone: cache/fresh")
    if not (merged / "old").exists():
        return
    run.must(
        not os.path.lexists(layer / _OPAQUE.removeprefix(_WHITEOUT)),
        f"cache still shows what is below. {_OPAQUE} speaks of no file named .wh..opq: "
        "it speaks of the directory that it lies in",
    )
    raise run.failed(
        "cache still shows what is below: the directory isn't opaque. Which attribute "
        "did Linux write in chapter 06?"
    )


@contextmanager
def _merged(case: Case, layer: Path, image: Path) -> Iterator[Path]:
    upper, work, target = (folder(case, name) for name in ("upper", "work", "merged"))
    overlay = MountOverlay((str(layer), str(image)), str(upper), str(work), str(target))
    with Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), overlay).fork() as child:
        child.run()
        yield Path(f"/proc/{child.pid}/root{target}")


MARK_LAYER = Task(
    id="11.1",
    sentence="Give your runtime the rule for whiteouts: from an archive's to Linux's.",
    points=3,
    level=Level.MEDIUM,
    size="about eight lines",
    question=Question(
        "Why doesn't the archive simply hold the device 0:0?",
        (
            "tar can't hold devices",
            "an ordinary user can't make devices when unpacking it",
            "it would be too large",
        ),
    ),
    hints=(
        "Look at `unpack` in the chapter: it does half of it. Then read the error that "
        "you get about cache, and the end of 'Delete what can't be touched' in 06.",
        "os.walk goes through all directories. mknod makes the device, setxattr writes "
        "the mark on a directory, unlink takes the archive's mark away.",
        "For each name: is it .wh..wh..opq? os.setxattr(place, "
        '"trusted.overlay.opaque", b"y"). Else, does it begin with .wh.? linux.mknod('
        "...). In both cases linux.unlink(...).",
    ),
    functions=("mark_layer",),
    check=check_mark_layer,
    needs=("namespaces", "overlay mounts", "upper directories", "root"),
    kept=True,
    mistakes=(
        Mistake(
            "leaves the archive's marks",
            """
def mark_layer(linux, layer):
    for place, _, names in os.walk(layer):
        for name in names:
            if name == ".wh..wh..opq":
                os.setxattr(place, "trusted.overlay.opaque", b"y")
            elif name.startswith(".wh."):
                linux.mknod(f"{place}/{name[4:]}", stat.S_IFCHR, os.makedev(0, 0))
""",
            "the container sees 2 names that begin with .wh.",
        ),
        Mistake(
            "takes the mark of a directory for that of a file",
            """
def mark_layer(linux, layer):
    for place, _, names in os.walk(layer):
        for name in names:
            if name.startswith(".wh."):
                linux.mknod(f"{place}/{name[4:]}", stat.S_IFCHR, os.makedev(0, 0))
                linux.unlink(f"{place}/{name}")
""",
            "speaks of no file named .wh..opq",
        ),
        Mistake(
            "takes the directory's mark away and does nothing",
            """
def mark_layer(linux, layer):
    for place, _, names in os.walk(layer):
        for name in names:
            if name.startswith(".wh."):
                if name != ".wh..wh..opq":
                    linux.mknod(f"{place}/{name[4:]}", stat.S_IFCHR, os.makedev(0, 0))
                linux.unlink(f"{place}/{name}")
""",
            "the directory isn't opaque",
        ),
        Mistake(
            "renames the mark",
            """
def mark_layer(linux, layer):
    for place, _, names in os.walk(layer):
        for name in names:
            if name.startswith(".wh."):
                os.rename(f"{place}/{name}", f"{place}/{name[4:]}")
""",
            "as an ordinary file",
        ),
        Mistake(
            "looks for .wh. anywhere in a name",
            """
def mark_layer(linux, layer):
    for place, _, names in os.walk(layer):
        for name in names:
            if name == ".wh..wh..opq":
                os.setxattr(place, "trusted.overlay.opaque", b"y")
            elif ".wh." in name:
                gone = name.replace(".wh.", "")
                linux.mknod(f"{place}/{gone}", stat.S_IFCHR, os.makedev(0, 0))
            else:
                continue
            linux.unlink(f"{place}/{name}")
""",
            "this name has it inside",
        ),
        Mistake(
            "looks into the top directory only",
            """
def mark_layer(linux, layer):
    for name in os.listdir(layer):
        if name.startswith(".wh."):
            linux.mknod(f"{layer}/{name[4:]}", stat.S_IFCHR, os.makedev(0, 0))
            linux.unlink(f"{layer}/{name}")
""",
            "some directories deep",
        ),
    ),
)

EXERCISE = Exercise(
    "11",
    "Exercise 11: Images",
    "Write the rule by which a file of an image is gone, then say what a name means.",
    "11_images.ipynb",
    (MARK_LAYER, full_names.FULL_NAME),
)
