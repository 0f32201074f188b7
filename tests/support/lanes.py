"""`make test`: every kind of test, in two lanes side by side, then the last look.

    here    test-style, test-unit, test-kernel, ...    on this machine, shown as it goes
    vm      test-vm                                    in the lab VM, shown afterwards
    last    test-leak                                  alone, when both have ended

The VM keeps one processor busy and what is here another one. An interrupt is passed on
to both lanes and waited for. The exit code is 0 when everything passed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tests.support.ours import BESIDE, ours

# In the order of their size: what fails first costs least.
HERE = ("test-style", "test-unit", "test-kernel", "test-escapes", "test-oracle",
        "test-notebooks", "test-browser")  # fmt: skip
VM = ("test-vm",)
LAST = ("test-leak",)
_LOOK_S = 0.2


class Lane:
    """A run of `make` with some targets.

    Args: name [for what is said of it]; targets [one after the other, all of them]; log
        [where its output goes, None for here]; environment [added to this one].
    """

    def __init__(
        self,
        name: str,
        targets: Sequence[str],
        log: Path | None = None,
        environment: Mapping[str, str] = {},
    ) -> None:
        self.name, self.log, self.since = name, log, time.monotonic()
        output = None if log is None else log.open("wb")
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "--keep-going", *targets],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            process_group=0,  # an interrupt comes from here, and only once
        )
        if output is not None:
            output.close()

    def wait(self) -> bool:
        """Wait for its end, show its log meanwhile; say whether it passed."""
        if self.log is not None:
            self._follow(self.log)
        passed = self.process.wait() == 0
        seconds = time.monotonic() - self.since
        word = "passed" if passed else "FAILED"
        print(f"make test: {self.name}: {word} after {seconds:.0f} s", flush=True)
        return passed

    def interrupt(self) -> None:
        """End it as Ctrl+C does, and wait: tests tidy up behind themselves."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        self.wait()

    def _follow(self, log: Path) -> None:
        with log.open("rb") as said:
            over = False
            while not over:
                over = self.process.poll() is not None
                sys.stdout.buffer.write(said.read())
                sys.stdout.buffer.flush()
                time.sleep(0 if over else _LOOK_S)


def main(here: Sequence[str], vm: Sequence[str], last: Sequence[str]) -> int:
    """Run the lanes; return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    lanes: list[Lane] = []
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        before = Path(folder, "before")
        before.write_text("\n".join(ours()))
        os.environ["LABKIT_HOST_BEFORE"] = str(before)
        try:
            lanes.append(Lane("vm", vm, Path(folder, "vm.log"), {BESIDE: "1"}))
            lanes.append(Lane("here", here))
            passed = [lane.wait() for lane in reversed(lanes)]
            lanes = [Lane("last look", last)]
            passed.append(lanes[0].wait())
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for lane in reversed(lanes):
                lane.interrupt()
            return 130
    return 0 if all(passed) else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(HERE, VM, LAST))
