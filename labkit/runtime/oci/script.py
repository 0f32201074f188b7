"""Script: a file labkit-oci that starts as fast as Python can.

pip makes such a file, too (`labkit-oci` beside `labkit`). That one first runs what
other packages want to be run at every start of Python, which takes longer than Python
itself. This one needs no PATH and no environment, and looks for no package but labkit:

    #!/usr/bin/python3 -IS      -I: no variables, no current directory; -S: no packages
"""

from __future__ import annotations

import os
import sys

from labkit.errors import DocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call

_TEXT = """#!{python} -IS
import sys
sys.path.insert(0, {folder!r})
from labkit.runtime.oci.command import program
sys.exit(program())
"""
_LONGEST_LINE = 255  # execve(2), Interpreter scripts


def install(call: Call) -> None:
    """Write a file labkit-oci that starts faster than the one that pip makes.

    labkit-oci install FILE
    """
    print(write_script(call.given.word(0, "the file's name")))


def write_script(path: str | os.PathLike[str]) -> str:
    """Write the file, for this Python and this labkit; return where it is.

    Raises: DocumentError when this Python's path is too long for a first line.
    """
    package = os.path.dirname(os.path.abspath(sys.modules["labkit"].__file__ or ""))
    python = os.path.realpath(sys.executable)
    if len(python) + 7 > _LONGEST_LINE or " " in python:
        raise DocumentError(
            f"{python}: this path can't stand in a script's first line",
            "install Python at a shorter path, without spaces",
            "execve(2)",
        )
    text = _TEXT.format(python=python, folder=os.path.dirname(package))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return os.fspath(path)
