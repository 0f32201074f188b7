"""Import from one file what lies in six hundred.

For each import Python looks into directories, opens a file and reads it: nothing on an
ordinary machine, and under emulation two thousandths of a second, of which a module's
own work is the smaller part. So the byte code of what the agent imports is in one file,
too; of labkit's own code, which changes while the image stays, in another:

    name -> (where its file is, whether it is a package, its byte code)

The modules are the same ones: each knows its source's path, and finds its data there.
What isn't in a file Python finds as ever; an extension is loaded from its own.

Spec: The import system, importlib.abc.MetaPathFinder.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

PLACE = "/usr/lib/labkit"
IMPORTS, LABKIT = f"{PLACE}/imports", f"{PLACE}/labkit"
Modules = dict[str, tuple[str, bool, bytes]]


class Code(SourceFileLoader):
    """A loader that has been given its module's byte code.

    Args: name, path [of the module]; code [marshalled].
    """

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the byte code, and forget it: the module stays, and its loader."""
        code, self._code = self._code, b""
        if not code:
            return super().get_code(fullname)
        loaded: CodeType = marshal.loads(code)
        return loaded


class Imports:
    """A finder of such modules.

    Args: modules [what the files hold].
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Say how a module is loaded; None leaves that to the next finder."""
        if name not in self._modules:
            return None
        place, is_package, code = self._modules.pop(name)
        loader = Code(name, place, code) if code else ExtensionFileLoader(name, place)
        inside = [os.path.dirname(place)] if is_package else None
        return spec_from_file_location(
            name, place, loader=loader, submodule_search_locations=inside
        )


@contextmanager
def imports_from(*files: str) -> Iterator[None]:
    """Look into some files first, as long as this lasts; none has to be there."""
    modules: Modules = {}
    for file in filter(os.path.exists, files):
        with open(file, "rb") as opened:
            modules |= marshal.loads(opened.read())
    finder = Imports(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
