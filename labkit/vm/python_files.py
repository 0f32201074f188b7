"""The lab's Python: which files the VM needs of it.

    the interpreter      each of its names, with the links to the real one; pyvenv.cfg
    the standard library without tests, tkinter and the like
    the packages         those that labkit's kernel needs, and those that they need,
                         each file that their installation has recorded

A server isn't needed in the VM, nor what draws JupyterLab: they stay outside.

Spec: Recording installed projects (RECORD); Dependency specifiers.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from labkit.vm.byte_code import unchecked
from labkit.vm.file_closure import Closure

# Where the search begins: labkit itself, and what its tests need inside the VM.
ROOTS = ("labkit", "pytest", "pytest-timeout", "hypothesis")
# Needed by something that the VM doesn't do; debugpy alone is fifteen megabytes.
LEFT_OUT = frozenset(
    ("jupyterlab", "jupyterlab-widgets", "debugpy", "widgetsnbextension")
)
_NOT_OF_THE_LIBRARY = (
    "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages",
    "test", "tests", "tkinter", "turtledemo",
)  # fmt: skip


def add_python(closure: Closure) -> None:
    """Copy the interpreter, its library and the packages."""
    for name in _names():
        closure.add(name)
    closure.add(Path(sys.prefix, "pyvenv.cfg"))
    for name in ("stdlib", "platstdlib"):
        # The interpreter's own, also when this is a virtual environment.
        closure.add_tree(Path(sysconfig.get_path(name)), leave_out=_NOT_OF_THE_LIBRARY)
    for one in distributions(ROOTS):
        for file in one.files or ():
            path = str(one.locate_file(file))
            if "__pycache__" not in path:
                closure.add(path)
    # Where a virtual environment finds packages: empty directories count, too.
    closure.place(f"{sysconfig.get_path('purelib')}/x").parent.mkdir(exist_ok=True)


def distributions(names: tuple[str, ...]) -> list[Distribution]:
    """Return the installed packages of these names, and all that they need."""
    found: dict[NormalizedName, Distribution] = {}
    todo = [canonicalize_name(name) for name in names]
    while todo:
        name = todo.pop()
        if name in found or name in LEFT_OUT:
            continue
        for one in Distribution.discover(name=name, path=_site_packages()):
            found[name] = one
            todo += _needs(one)
            break  # none: not installed here, as what only other systems need
    return list(found.values())


def _site_packages() -> list[str]:
    # Not the whole sys.path: the current directory can be a checkout, whose own list of
    # files isn't what was installed.
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return list(dict.fromkeys([*places, *users, *site.getsitepackages()]))


def compile_all(root: Path) -> None:
    """Put byte code beside every source below a root, to be loaded without a look."""
    for source in root.rglob("*.py"):
        # What it is called here is not where it will lie.
        outside = Path("/", source.relative_to(root))
        try:
            code = unchecked(outside)
        except (SyntaxError, ValueError, OSError):
            continue  # a template, or a test's broken file: Python would refuse it, too
        cache = source.parent / "__pycache__"
        cache.mkdir(exist_ok=True)
        (cache / f"{source.stem}.{sys.implementation.cache_tag}.pyc").write_bytes(code)


def _names() -> list[str]:
    # Programs begin with either: #!/.../bin/python, #!/.../bin/python3.
    links = map(str, Path(sys.prefix, "bin").glob("python*"))
    real = os.path.realpath(sys.executable)
    same = [link for link in links if os.path.realpath(link) == real]
    return sorted({sys.executable, *same})


def _needs(one: Distribution) -> Iterator[NormalizedName]:
    for line in one.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)
