"""Which packages a program needs to run, and which files of them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from labkit.errors import HostError
from labkit.host.elf import is_static, loader, needed
from labkit.linux.views import HostPath
from labkit.packages import aliases, closure
from labkit.packages.selection import read_depends, read_sections, select

# apt-cache depends --recurse, shortened.
DEPENDS = """\
web
  Depends: libc6
  Depends: web-common
 |Depends: libfirst
  Depends: libsecond
  PreDepends: init-system-helpers
  Depends: <httpd-cgi>
    other-web
<httpd-cgi>
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: libc6:amd64
web-common
  Depends: perl
"""
# apt-cache show; Ubuntu names the component before the section.
SHOWN = """\
Package: web
Section: universe/httpd

Package: web-common
Section: universe/httpd
Description: a text that says: Section: none

Package: libc6
Section: libs

Package: libgcc-s1
Section: libs

Package: libfirst
Section: libs

Package: libsecond
Section: libs

Package: perl
Section: perl

Package: init-system-helpers
Section: admin
"""


def test_libraries_are_taken_and_what_sets_the_program_up_is_not() -> None:
    chosen = select(["web"], read_depends(DEPENDS), read_sections(SHOWN))
    assert chosen == ["libc6", "libfirst", "libgcc-s1", "web", "web-common"]


def test_of_several_choices_the_first_is_taken() -> None:
    depends = read_depends(DEPENDS)["web"]
    assert "libfirst" in depends
    assert "libsecond" not in depends


def test_a_package_that_is_only_a_name_is_no_package() -> None:
    assert "other-web" not in read_depends(DEPENDS)["web"]
    assert all("<" not in name for name in read_depends(DEPENDS)["web"])


def test_python_itself_names_its_loader_and_libraries() -> None:
    python = HostPath(os.path.realpath(sys.executable))
    assert str(loader(python)).startswith("/")
    assert any(name.startswith("libc.so") for name in needed(python))
    assert not is_static(python)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree as packages would make it: a program with its loader and libraries."""
    program = Path(os.path.realpath("/bin/ls"))
    (tmp_path / "usr/bin").mkdir(parents=True)
    shutil.copy(program, tmp_path / "usr/bin/ls")
    add(tmp_path, loader(HostPath(str(program))) or "")
    todo = list(needed(HostPath(str(program))))
    while todo:
        library = find_library(todo.pop())
        if add(tmp_path, str(library)):
            todo += needed(HostPath(str(library)))
    return tmp_path


def add(root: Path, path: str) -> bool:
    """Copy a file of this machine to its own path below a root."""
    place = Path(f"{root}{path}")
    if place.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)
    return True


def find_library(name: str) -> Path:
    """Return where this machine has a library."""
    machine = os.uname().machine
    places = (f"/{top}/{machine}-linux-gnu/{name}" for top in ("lib", "usr/lib"))
    return next(Path(place) for place in places if os.path.exists(place))


def test_a_programs_loader_and_libraries_are_found_in_the_tree(root: Path) -> None:
    found = closure(HostPath(str(root)), ["usr/bin/ls"])
    assert {Path(path).name for path in found} == {
        path.name for path in root.rglob("*") if path.is_file()
    }


def test_a_link_is_followed_inside_the_tree(root: Path) -> None:
    os.symlink("/usr/bin/ls", root / "usr/bin/dir")
    assert {"usr/bin/dir", "usr/bin/ls"} <= set(
        closure(HostPath(str(root)), ["usr/bin/dir"])
    )


def test_a_library_that_no_package_has_is_named(root: Path) -> None:
    for library in root.rglob("libc.so.6"):
        library.unlink()
    with pytest.raises(HostError, match=r"needs libc\.so\.6"):
        closure(HostPath(str(root)), ["usr/bin/ls"])


def test_a_link_that_leads_out_of_the_packages_is_named(root: Path) -> None:
    os.symlink("/nowhere/else", root / "usr/bin/dir")
    with pytest.raises(HostError, match="needs /nowhere/else"):
        closure(HostPath(str(root)), ["usr/bin/dir"])


def test_a_loader_that_lies_in_usr_gets_its_name(root: Path) -> None:
    name = str(loader(HostPath(str(root / "usr/bin/ls")))).lstrip("/")
    (root / "usr" / name).parent.mkdir(parents=True, exist_ok=True)
    os.rename(root / name, root / "usr" / name)
    paths = closure(HostPath(str(root)), ["usr/bin/ls"])
    links = aliases(HostPath(str(root)), paths)
    assert list(links) == [name]
    assert (root / name).parent.joinpath(links[name]).resolve() == root / "usr" / name
