"""What every kernel of the VM has imported before it starts.

The agent imports it once; a kernel is a fork of the agent, so it starts with all of it
in memory that they share. When the VM's state is saved, it is in the saved state, too.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import sys
from pathlib import Path
from typing import NoReturn

# What a kernel imports by itself while it starts, or when the first cell runs.
_OF_A_KERNEL = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.comm", "ipykernel.debugger",
    "IPython.core.completer", "IPython.core.completerlib", "IPython.core.debugger",
    "IPython.core.logger", "IPython.core.magics", "IPython.core.oinspect",
    "IPython.extensions.storemagic", "tornado.platform.asyncio", "tornado.queues",
    "faulthandler", "unicodedata",
    "ipywidgets", "anywidget", "psutil",
)  # fmt: skip
# What the cells of the first chapters import, and all that it stands on. Not the later
# chapters' images, networks and runtime, nor the exercises: each would make every cold
# boot longer, and comes when a cell asks for it.
_OF_A_CHAPTER = (
    "labkit.lab", "labkit.containers", "labkit.course.matrix", "labkit.loads.memory",
    "labkit.primitives.devices", "labkit.rootfs.shell", "labkit.widgets.formatters",
    "labkit.widgets.layers_view", "labkit.widgets.meter", "labkit.widgets.prediction",
)  # fmt: skip


def import_all() -> list[str]:
    """Import everything; return the names that can't be, and why."""
    # What is imported stays: the collector would look through it again and again, and
    # in each kernel write into pages that all of them share.
    gc.disable()
    missing = []
    for name in (*_OF_A_KERNEL, *_OF_A_CHAPTER):
        try:
            importlib.import_module(name)
        except ImportError as failed:
            missing.append(f"{name}: {failed}")
    gc.freeze()
    gc.enable()
    return missing


def become_kernel(
    connection_file: Path, directory: str, environment: dict[str, str], *, fresh: bool
) -> NoReturn:
    """Turn this forked child into an ipykernel; it ends with the kernel.

    Args: connection_file [in the guest]; directory [where the notebook lies];
        environment [added to the agent's]; fresh [labkit's files have changed since
        they were imported: import them again].
    """
    os.setsid()  # an interrupt reaches this kernel and not the others
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    os.chdir(directory)
    _forget_copies(fresh=fresh)
    from ipykernel.kernelapp import IPKernelApp

    arguments = ["-f", str(connection_file), "--HistoryManager.enabled=False"]
    app = IPKernelApp.instance()
    app.initialize(arguments)  # type: ignore[no-untyped-call]
    app.start()  # type: ignore[no-untyped-call]
    os._exit(0)


def _forget_copies(*, fresh: bool) -> None:
    # Every kernel of every VM from one saved state would draw the same numbers.
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if fresh:
        ours = [name for name in sys.modules if name.partition(".")[0] == "labkit"]
        for name in ours:
            del sys.modules[name]
