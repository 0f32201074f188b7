"""What is in an image of the lab's: a recipe is a value, and so are its layers.

    Recipe("nginx:1.13", about, base="alpine", layers=(...), execution=Execution(...))

    SmallRoot()           the root filesystem of chapter 02
    Programs(...)         programs out of packages, with the libraries that they need
    Files(...)            files, links and directories, written down

A layer's `created_by` is what the image's history says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from labkit.image.config import Execution


@dataclass(frozen=True, slots=True)
class SmallRoot:
    """The lab's root filesystem: busybox and some files."""

    created_by: str = "ADD rootfs.tar /  # busybox, by the lab"


@dataclass(frozen=True, slots=True)
class Programs:
    """Files out of packages, and every loader and library that they ask for."""

    packages: tuple[str, ...]
    keep: tuple[str, ...]  # patterns of fnmatch; * matches slashes, too
    leave_out: tuple[str, ...] = ()
    python: str = ""  # of them, a Python whose library is to be compiled

    @property
    def created_by(self) -> str:
        needs = "what it needs" if len(self.packages) == 1 else "what they need"
        return f"ADD {' '.join(self.packages)} and {needs} /"


@dataclass(frozen=True, slots=True)
class Files:
    """Files, links and directories of the recipe's own."""

    created_by: str
    files: tuple[tuple[str, str], ...] = ()  # path, content
    links: tuple[tuple[str, str], ...] = ()  # path, target
    directories: tuple[tuple[str, int], ...] = ()  # path, mode


Layer = SmallRoot | Programs | Files


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image under one name."""

    name: str  # as people type it: nginx:1.13
    about: str
    layers: tuple[Layer, ...]
    base: str = "alpine"  # another recipe's name; "" for none
    execution: Execution = field(default_factory=Execution)
    instructions: tuple[str, ...] = ()  # history without a layer: CMD, EXPOSE
