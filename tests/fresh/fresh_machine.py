"""`make fresh`: what a clean clone does on a machine that has nothing.

The machine is a directory: the distribution's smallest system with Python, git and
make, entered by pivot_root, with this machine's apt and pip settings. In it

    make lab      serves JupyterLab, and the first chapter is there
    make test     passes; LABKIT_NO_SKIPS and LABKIT_ALLOW_SKIPS reach it

Afterwards its processes are ended and its directory and cgroups are gone, whatever
happened; the downloaded system stays in LABKIT_FRESH_DIR for the next time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fresh import first_chapter, settings
from tests.support.ours import cgroups
from tests.support.private_state import fstype_of, mounts

PROJECT = Path(__file__).parents[2]
ENTER = Path(__file__).with_name("enter.sh")
PACKAGES = "python3,git,make,ca-certificates,sudo"
# What the tests compare the lab with: the new machine gets those that this one has.
PEERS = {"runc": "runc", "crun": "crun", "newuidmap": "uidmap"}
LAB_TIMEOUT_S = 900  # most of it is pip's
TEST_TIMEOUT_S = 3600


def main() -> int:
    """Run both commands on a new machine; return the exit code of the worse."""
    cache = Path(
        os.environ.get("LABKIT_FRESH_DIR", "~/.cache/labkit-fresh")
    ).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    if fstype_of(cache) == "overlay":
        sys.exit(
            f"{cache} is on an overlay: set LABKIT_FRESH_DIR to a directory on a disk"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with new_machine(cache) as root:
        serve_the_lab(root)
        return run_the_tests(root)


@contextmanager
def new_machine(cache: Path) -> Iterator[Path]:
    """Unpack the system into a directory, clone the project; remove it afterwards."""
    before = set(cgroups())
    root = Path(tempfile.mkdtemp(prefix="machine-", dir=cache))
    try:
        run("tar", "--extract", "--numeric-owner", "--file", base(cache), "-C", root)
        settings.copy_to(root)
        run("git", "clone", "--quiet", "--no-hardlinks", PROJECT, root / "root/labkit")
        yield root
    finally:
        for path in sorted(set(cgroups()) - before, reverse=True):
            remove_unused(Path(path))
        inside = [point for point, _ in mounts() if Path(point).is_relative_to(root)]
        assert not inside, f"still mounted, so {root} stays: {inside}"
        shutil.rmtree(root)


def remove_unused(cgroup: Path) -> None:
    """Remove a cgroup that a killed run left; one with processes is somebody else's."""
    try:
        cgroup.rmdir()
    except OSError as error:
        say(f"{cgroup} stays: {error.strerror}")


def base(cache: Path) -> Path:
    """Return the packed system; the distribution's mirror is asked once."""
    packed = cache / f"{settings.codename()}.tar"
    if not packed.exists():
        say(f"making a {settings.codename()} system with {PACKAGES}")
        half = packed.with_suffix(".part.tar")
        options = [f"--aptopt={line}" for line in settings.apt_options()]
        run(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
            *options, settings.codename(), half, *settings.apt_sources(),
        )  # fmt: skip
        half.rename(packed)
    return packed


def serve_the_lab(root: Path) -> None:
    """Start `make lab`, open the address it prints, find the first chapter, stop it."""
    say("make lab")
    with inside(root, "make", "lab", output=subprocess.PIPE) as lab:
        deadline = signal_after(LAB_TIMEOUT_S)
        address = first_chapter.printed_address(lab.stdout)
        first_chapter.is_shown(address)
        first_chapter.stop(address)
        code = lab.wait(timeout=60)
        signal.alarm(0)
    assert code == 0, f"make lab ended with {code}"
    say(f"JupyterLab answered and had the first chapter after {deadline():.0f} s")


def run_the_tests(root: Path) -> int:
    """Run `make test` with the peers that this machine has; return its exit code."""
    peers = [PEERS[name] for name in PEERS if shutil.which(name)]
    if peers:
        install = ("apt-get", "install", "-qq", "--yes", "--no-install-recommends")
        with inside(root, *install, *peers, output=subprocess.DEVNULL) as apt:
            assert apt.wait() == 0, f"could not install {peers}"
    say("make test")
    with inside(root, "make", "test") as tests:
        elapsed = signal_after(TEST_TIMEOUT_S)
        code = tests.wait()
        signal.alarm(0)
    say(f"make test ended with {code} after {elapsed():.0f} s")
    return code


@contextmanager
def inside(
    root: Path, *command: str, output: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command on the new machine; its PID namespace ends with this block."""
    entering = ["unshare", "--mount", "--pid", "--fork", "--kill-child", str(ENTER)]
    binds = map(str, settings.pip_directories())
    with subprocess.Popen(
        [*entering, str(root), *binds, "--", *command],
        env=settings.environment(), stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT if output else None, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def signal_after(seconds: int) -> Elapsed:
    """Raise TimeoutError when this much time has passed; return a stopwatch."""

    def too_late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    return Elapsed()


class Elapsed:
    """A stopwatch: call it for the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._start


def run(*command: str | Path) -> None:
    """Run a command of this machine; its failure ends the run."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def say(text: str) -> None:
    """Print a line at once."""
    print(f"fresh machine: {text}", flush=True)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("make fresh needs root: it makes mounts. Try: sudo make fresh")
    sys.exit(main())
