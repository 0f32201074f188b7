"""The file out of which the VM's agent imports: made with the root image.

Which modules these are, Python says when it has imported them: here, where that takes a
second. Not labkit's own, which change while the image stays: see `initramfs`.

Reading order: guest/one_file, then this.
"""

from __future__ import annotations

import json
import marshal
import os
import subprocess
from pathlib import Path

from labkit.vm import places
from labkit.vm.byte_code import in_the_cache
from labkit.vm.guest.one_file import IMPORTS, Modules
from labkit.vm.initramfs import PACKAGE

_ASK = """
import json, sys
from labkit.vm.guest import agent, zygote
zygote.import_all()
specs = [getattr(module, "__spec__", None) for module in sys.modules.values()]
print(json.dumps([(one.name, one.origin, one.submodule_search_locations is not None)
                  for one in specs if one and one.has_location and one.origin]))
"""
# The debugger, which the image has not, warns of frozen modules.
_QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
_TIMEOUT_S = 120


def add_imports(root: Path) -> None:
    """Write the file into a root image's tree, in which all byte code is already.

    Args: root [host path of the tree].
    """
    file = Path(f"{root}{IMPORTS}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(marshal.dumps(_modules(root)))


def _modules(root: Path) -> Modules:
    found: Modules = {}
    for name, origin, is_package in imported():
        inside = Path(f"{root}{origin}")
        if not inside.exists() or Path(origin).is_relative_to(PACKAGE):
            continue
        if inside.suffix == ".so":
            found[name] = (origin, is_package, b"")
        elif code := in_the_cache(inside):
            found[name] = (origin, is_package, code)
    return found


def imported() -> list[tuple[str, str, bool]]:
    """Return what the agent imports: name, file, and whether it is a package."""
    done = subprocess.run(
        [places.interpreter(), "-c", _ASK],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **_QUIET},
        stdout=subprocess.PIPE,
        check=True,
        timeout=_TIMEOUT_S,
    )
    return [tuple(row) for row in json.loads(done.stdout)]
