"""The learner's work in one file: taken from a place that forgets, and brought back.

    pack()            -> bytes: a ZIP file with the names below, as they are now
    save(path)        the same, written to a file
    restore(path)     puts them back; what differed is kept beside them

    my_container.py  my_progress.json      their own runtime, and how far they are
    notebooks/*.ipynb  exercises/*.ipynb   what they wrote; outputs stay behind, because
                                           running the cells makes them anew

Nothing is ever overwritten: a file that differs is renamed first, and a parcel is read
to its end before the first file is touched.

Left out: files of the learner's under other names.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.course import work
from labkit.errors import DocumentError

FILE = "my_work.zip"
_NAMES = re.compile(
    r"my_container\.py|my_progress(\.damaged-\d+)?\.json"
    r"|(notebooks|exercises)/[^/\\]+\.ipynb"
)
# A ZIP file may unfold to a thousand times its size.
_LARGEST = 64 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, and what it took the place of."""

    names: tuple[str, ...]
    kept: tuple[str, ...]  # the new names of what differed

    def __repr__(self) -> str:
        if not self.names:
            return "all of it is here already"
        lines = [f"restored: {', '.join(self.names)}"]
        if self.kept:
            lines.append(f"what was here before is now: {', '.join(self.kept)}")
        return "\n".join(lines)


def pack() -> bytes:
    """Return a ZIP file of the learner's work."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parcel:
        for name in _present():
            parcel.writestr(name, _without_outputs(name, _read(name)))
    return packed.getvalue()


def save(path: str) -> Path:
    """Write the learner's work to a file, which is replaced as a whole; return it.

    Args: path [relative to the learner's folder, or absolute].
    Raises: HostError when it can't be written.
    """
    return work.write(path, pack())


def restore(path: str) -> Restored:
    """Put the learner's work back.

    Args: path [of a file that `save` has made, relative to the learner's folder].
    Raises: DocumentError when it is none, or damaged: nothing has changed then;
        HostError when the folder can't be written.
    """
    found = _contents(work.folder() / path)
    different = {name: new for name, new in found.items() if not _is_here(name, new)}
    kept = []
    for name, new in different.items():
        if (work.folder() / name).exists():
            kept.append(_set_aside(name))
        work.write(name, new)
    return Restored(tuple(different), tuple(kept))


def _present() -> Iterator[str]:
    here = work.folder()
    for folder in ("", "notebooks", "exercises"):
        for path in sorted((here / folder).glob("*")):
            name = str(path.relative_to(here))
            if path.is_file() and _NAMES.fullmatch(name):
                yield name


def _contents(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as parcel:
            members = parcel.infolist()
            strange = [m.filename for m in members if not _NAMES.fullmatch(m.filename)]
            if strange:
                raise _no_parcel(path, f"it holds {strange[0]}")
            if sum(member.file_size for member in members) > _LARGEST:
                raise _no_parcel(path, "it is larger than anybody's work")
            return {member.filename: parcel.read(member) for member in members}
    except (OSError, EOFError, RuntimeError, *_DAMAGE) as damage:
        raise _no_parcel(path, str(damage)) from damage


def _is_here(name: str, new: bytes) -> bool:
    # A notebook that was run since has other outputs, and the same cells.
    try:
        return _without_outputs(name, _read(name)) == new
    except FileNotFoundError:
        return False


def _without_outputs(name: str, content: bytes) -> bytes:
    if not name.endswith(".ipynb"):
        return content
    try:
        book = json.loads(content)
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
                cell["metadata"].pop("execution", None)
        book["metadata"].pop("widgets", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return content  # no notebook that we can read: taken as it is
    return json.dumps(book, indent=1, ensure_ascii=False).encode() + b"\n"


def _set_aside(name: str) -> str:
    path = work.folder() / name
    number = 1
    while (aside := path.with_stem(f"{path.stem}.before-{number}")).exists():
        number += 1
    os.rename(path, aside)
    return str(aside.relative_to(work.folder()))


def _read(name: str) -> bytes:
    return (work.folder() / name).read_bytes()


def _no_parcel(path: Path, why: str) -> DocumentError:
    return DocumentError(
        f"{path}: not a file that lab.download() or labkit work save has made",
        "upload the file again, and name it: lab.restore('my_work.zip')",
        meaning=f"{why}; nothing has been changed",
    )
