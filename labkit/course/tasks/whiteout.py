"""Exercise 06, second part: a file is hidden that nobody may touch."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import as_root, attempt
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.linux.flags import CAP, CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay_mount import MountOverlay

HideFile = Callable[[Linux, str, str], None]


def check_hide_file(hide_file: HideFile, case: Case) -> Saw:
    """Hide a secret some levels deep, whose directory has another file."""
    image, upper = folder(case, "image"), folder(case, "upper")
    place = f"srv/{case.seed.name()}/{case.seed.name()}"
    (image / place).mkdir(parents=True)
    for name in ("password", "neighbour"):
        (image / place / name).write_text(case.seed.secret())
    before = listing(image)
    with attempt(hide_file, str(upper), f"/{place}/password") as run:
        run.must(
            listing(image) == before,
            "the image has changed, and every container over it sees that: only upper "
            "is yours to write to",
        )
        with _merged(image, upper, case) as merged:
            hidden = merged / place / "password"
            run.must(not os.path.lexists(hidden), _still_there(upper, place))
            run.must(
                (merged / place / "neighbour").exists(),
                "the neighbour in the same directory is gone, too: the mark hides more "
                "than one name",
            )
        return run.saw("the file is gone, its neighbour is there, the image unchanged")


def _still_there(upper: Path, place: str) -> str:
    here = upper / place
    if (here / ".wh.password").exists():
        return (
            "it is still there: a name with .wh. is what a tar archive has for it. "
            "What did rm leave in the upper layer?"
        )
    if (here / "password").is_file():
        return (
            "the name is still there, with another file behind it. Look at what rm "
            "left in the upper layer: stat says what kind of file it is"
        )
    marks = [path for path in upper.rglob("*") if stat.S_ISCHR(path.lstat().st_mode)]
    if marks:
        return (
            f"it is still there: your mark hides /{marks[0].relative_to(upper)}. The "
            "upper layer has the same directories as the tree"
        )
    return "it is still there: the upper layer says nothing about it"


@contextmanager
def _merged(image: Path, upper: Path, case: Case) -> Iterator[Path]:
    work, target = folder(case, "work"), folder(case, "merged")
    ordinary = not case.host.privilege.has(CAP.SYS_ADMIN)
    places = (str(upper), str(work), str(target))
    overlay = MountOverlay((str(image),), *places, userxattr=ordinary)
    own = as_root(case.host) + Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))
    with (own + overlay).fork() as child:
        child.run()
        yield Path(f"/proc/{child.pid}/root{target}")


def folder(case: Case, name: str) -> Path:
    """Make a folder for this case."""
    made = Path(case.folder, name)
    made.mkdir()
    return made


def listing(place: Path) -> list[tuple[str, bytes]]:
    """Return every file below a folder with what is in it: two listings compare."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return [(str(path), path.read_bytes()) for path in files]


HIDE_FILE = Task(
    id="06.2",
    sentence="Hide a file of the image by hand, before anything is mounted.",
    points=3,
    level=Level.MEDIUM,
    size="about five lines",
    question=Question(
        "After rm, what stands in the upper layer under the file's name?",
        ("nothing", "an empty file", "a device"),
    ),
    hints=(
        "Remove a file in a container of the chapter, and look at its name in upperdir "
        "with os.lstat: which kind of file, and which numbers?",
        "mknod makes it: man 2 mknod. The mark lies where the file would lie, so its "
        "directories come first: mkdir.",
        "For each part of the path but the last: linux.mkdir(...). Then "
        "linux.mknod(name, stat.S_IFCHR, os.makedev(0, 0)).",
    ),
    functions=("hide_file",),
    check=check_hide_file,
    needs=("namespaces", "overlay mounts", "upper directories"),
    mistakes=(
        Mistake(
            "puts an empty file over it",
            """
def hide_file(linux, upper, path):
    *folders, name = path.strip("/").split("/")
    for folder in folders:
        upper = f"{upper}/{folder}"
        linux.mkdir(upper)
    linux.mknod(f"{upper}/{name}", stat.S_IFREG | 0o644)
""",
            "the name is still there",
        ),
        Mistake(
            "takes the mark of a tar archive",
            """
def hide_file(linux, upper, path):
    *folders, name = path.strip("/").split("/")
    for folder in folders:
        upper = f"{upper}/{folder}"
        linux.mkdir(upper)
    linux.mknod(f"{upper}/.wh.{name}", stat.S_IFREG | 0o644)
""",
            "tar archive",
        ),
        Mistake(
            "forgets the directories",
            """
def hide_file(linux, upper, path):
    name = path.rpartition("/")[2]
    linux.mknod(f"{upper}/{name}", stat.S_IFCHR, os.makedev(0, 0))
""",
            "your mark hides /password",
        ),
        Mistake(
            "hides the whole directory",
            """
def hide_file(linux, upper, path):
    *folders, parent, name = path.strip("/").split("/")
    for folder in folders:
        upper = f"{upper}/{folder}"
        linux.mkdir(upper)
    linux.mknod(f"{upper}/{parent}", stat.S_IFCHR, os.makedev(0, 0))
""",
            "the neighbour in the same directory is gone",
        ),
        Mistake(
            "removes it from the image",
            """
def hide_file(linux, upper, path):
    linux.unlink(f"{os.path.dirname(upper)}/image{path}")
""",
            "the image has changed",
        ),
    ),
)
