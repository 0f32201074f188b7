"""Programs out of the distribution's packages, without installing anything.

    Packages(workspace, say).unpack(["nginx"])     nginx and what it needs to run
        .root .versions                            a tree, and which package is which
    closure(root, ["usr/sbin/nginx"])              of that tree, what nginx opens

Modules: apt gets a package, checked against the signed index; selection says which
packages a program needs to run; unpacked is the tree; libraries follows ELF files;
byte_code compiles an unpacked Python.
"""

from labkit.packages.apt import Apt
from labkit.packages.byte_code import compile_python
from labkit.packages.libraries import aliases, closure
from labkit.packages.unpacked import Packages, Unpacked

__all__ = ["Apt", "Packages", "Unpacked", "aliases", "closure", "compile_python"]
