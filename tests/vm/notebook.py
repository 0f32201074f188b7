"""A notebook's kernel as Jupyter's servers and clients start it."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

import labkit.vm

KERNELS = Path(labkit.vm.__file__).parent / "jupyter" / "kernels"
# A cold boot takes eight seconds, and many times that on a busy machine.
START_S = 180.0
CELL_S = 90.0
GONE_S = 30.0
LOOK_S = 1.0


@dataclass
class Notebook:
    """A running kernel and a client of it."""

    manager: KernelManager
    client: BlockingKernelClient

    @classmethod
    def start(cls, folder: Path, environment: dict[str, str]) -> Notebook:
        """Start a kernel in a folder and wait until it answers."""
        specs = KernelSpecManager(kernel_dirs=[str(KERNELS)])
        manager = KernelManager(kernel_name="python3", kernel_spec_manager=specs)
        manager.start_kernel(cwd=str(folder), env={**os.environ, **environment})
        started = cls(manager, manager.blocking_client())
        started.connect()
        return started

    def connect(self) -> None:
        """Wait until the kernel answers."""
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=START_S)
        except BaseException:
            self.close()
            raise

    def run(
        self,
        code: str,
        timeout_s: float = CELL_S,
        tell: Callable[[str], None] = lambda text: None,
    ) -> str:
        """Run a cell; return what it printed, and the name of its error.

        Args: tell [called with each piece of it, as it comes].
        """
        said: list[str] = []
        request, deadline = self.client.execute(code), time.monotonic() + timeout_s
        while message := self._next_of(request, deadline):
            content = message["content"]
            said.append(content.get("text", content.get("ename", "")))
            tell(said[-1])
        return "".join(said).strip()

    def _next_of(self, request: str, deadline: float) -> dict[str, Any] | None:
        # A kernel that Linux has killed says nothing more; Jupyter's client would wait.
        while time.monotonic() < deadline:
            try:
                message: dict[str, Any] = self.client.get_iopub_msg(timeout=LOOK_S)
            except queue.Empty:
                assert self.manager.is_alive(), "the kernel has ended in this cell"
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["content"].get("execution_state") == "idle":
                return None
            return message
        raise TimeoutError("the cell hasn't ended in time")

    def begin(self, code: str) -> str:
        """Run a cell without waiting for it; return the request's id."""
        # Otherwise cells that follow an error within a tenth of a second are left out.
        return self.client.execute(code, stop_on_error=False)

    def reply(self, request: str, timeout_s: float = CELL_S) -> dict[str, Any]:
        """Wait for what a cell that was begun came to."""
        while True:
            message = self.client.get_shell_msg(timeout=timeout_s)
            if message["parent_header"]["msg_id"] == request:
                content: dict[str, Any] = message["content"]
                return content

    @property
    def pid(self) -> int:
        """The process that Jupyter takes for the kernel."""
        pid = self.manager.provisioner.pid
        assert pid is not None
        return int(pid)

    def has_ended(self) -> bool:
        """Wait until Jupyter sees that the kernel has ended."""
        return quietly(lambda: not self.manager.is_alive())

    def restart(self) -> None:
        """Restart the kernel, as its button does."""
        self.manager.restart_kernel()
        self.client.wait_for_ready(timeout=START_S)

    def close(self) -> None:
        """Shut the kernel down; twice is no error."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()


def quietly(condition: Callable[[], bool], patience_s: float = GONE_S) -> bool:
    """Wait until something holds; say whether it came to hold."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
