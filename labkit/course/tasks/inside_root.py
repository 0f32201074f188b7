"""Exercise 10, third part: a path is walked, and no link leads out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from labkit.course.attempt import ask
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw
from labkit.linux.flags import RESOLVE, O
from labkit.linux.structs import OpenHow
from labkit.linux.syscalls import Linux

InsideRoot = Callable[[dict[str, str], str], str]


def check_inside_root(inside_root: InsideRoot, case: Case) -> Saw:
    """Make a tree with links; what openat2 finds in it is what is right."""
    root = Path(case.folder, "root")
    one, two, three = (case.seed.name() for _ in range(3))
    for name in (one, two, three):
        (root / name).mkdir(parents=True)
    links = {f"/{one}/up": f"../../../../{two}", f"/{two}/far": f"/{three}"}
    for place, target in links.items():
        (root / place.lstrip("/")).symlink_to(target)
    paths = (
        f"/{one}/./up",
        f"/../../{three}",
        f"/{one}/up/far",
        f"/{one}/up/far/../{one}",
    )
    for path in paths:
        right, got = _as_linux_walks(root, path), ask(inside_root, dict(links), path)
        if got != right:
            raise Failed(
                f"with the links {links}, Linux walks {path} to {right}; you went to "
                f"{got!r}"
            )
    return Saw("every path ends where Linux ends it, and none outside")


def _as_linux_walks(root: Path, path: str) -> str:
    linux, top = Linux(), os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = linux.openat2(top, path, OpenHow(O.PATH, resolve=RESOLVE.IN_ROOT))
        found = os.readlink(f"/proc/self/fd/{fd}").removeprefix(str(root)) or "/"
        os.close(fd)
        return found
    finally:
        os.close(top)


INSIDE_ROOT = Task(
    id="10.3",
    sentence="Walk a path in a tree with links, as if that tree were all there is.",
    points=4,
    level=Level.HARD,
    size="about twelve lines",
    question=Question(
        "In an image, /a/up is a link to ../../../../b. Where does it lead, in there?",
        ("to /b of the image", "to /b of the host", "nowhere: it is an error"),
    ),
    hints=(
        "Walk word by word. What does '..' mean at the root? What does a link do to "
        "the words that are still to come?",
        "Keep two lists: where you are, and which words are left. An absolute link "
        "empties the first.",
        "while todo: word = todo.pop(0); skip '' and '.'; for '..' drop the last of "
        "at; if links has '/' + '/'.join([*at, word]), put its words in front of todo; "
        "else append.",
    ),
    functions=("inside_root",),
    check=check_inside_root,
    mistakes=(
        Mistake(
            "never looks at the links",
            """
import os

def inside_root(links, path):
    return os.path.normpath(path)
""",
            "/./up to",
        ),
        Mistake(
            "follows a link once, and then no more",
            """
def inside_root(links, path):
    at = []
    for word in path.split("/"):
        if word == "..":
            at = at[:-1]
        elif word not in ("", "."):
            link = links.get("/" + "/".join([*at, word]))
            if link:
                at = [w for w in link.split("/") if w not in ("", "..")]
                links = {}
            else:
                at.append(word)
    return "/" + "/".join(at)
""",
            "/up/far to",
        ),
    ),
)
