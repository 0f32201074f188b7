"""Get packages as an ordinary user, checked by apt against its signed index.

apt keeps its lists and its cache in directories that options can move, so no root is
needed: the index is fetched into the workspace, its signature is verified with the
keys of the distribution, and the package against the index. Nothing is installed.

    Apt(workspace)                  an index of its own: update() fetches it
    Apt.of_this_machine(workspace)  the index that this machine has, as old as it is

Where it comes from is what this machine's apt is set to, or LABKIT_VM_APT: a line of
sources.list(5).

Left out: other package formats than Debian's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from labkit.errors import HostError

Say = Callable[[str], None]
_TIMEOUT_S = 600
# A repository without a valid signature is refused, whatever apt is set to here.
_SIGNED_ONLY = (
    "-o", "APT::Get::AllowUnauthenticated=false",
    "-o", "Acquire::AllowInsecureRepositories=false",
    "-o", "Acquire::AllowDowngradeToInsecureRepositories=false",
    # Without it apt calls an update a success that reached no mirror.
    "-o", "APT::Update::Error-Mode=any",
    # apt's own three tries would take half a minute where there is no network.
    "-o", "Acquire::Retries=1",
    # As root apt would drop to a user that can't write into our workspace.
    "-o", "APT::Sandbox::User=",
)  # fmt: skip
_MIRROR = "try again with a way to the package mirror (LABKIT_VM_APT: one for the VM)"
_HINTS = {
    "apt-get": _MIRROR,
    "apt-cache": _MIRROR,
    "dpkg-deb": "see whether the disk is full: df -h",
}
# What a package needs to run, and not what goes well with it.
_NEEDED_ONLY = tuple(
    f"--no-{relation}"
    for relation in (
        "recommends", "suggests", "conflicts", "breaks", "replaces", "enhances",
    )
)  # fmt: skip


class Apt:
    """apt with lists, cache and, if wanted, sources of its own.

    Args: workspace [an empty directory; the caller removes it]; sources [lines of
        sources.list(5), "" for this machine's own].
    """

    def __init__(self, workspace: Path, sources: str = "") -> None:
        self.workspace = workspace
        self._options = (*_SIGNED_ONLY, *_own_directories(workspace))
        if sources:
            file = workspace / "sources.list"
            file.write_text(sources + "\n")
            self._options += (
                "-o", f"Dir::Etc::SourceList={file}",
                "-o", "Dir::Etc::SourceParts=/dev/null",
            )  # fmt: skip

    @classmethod
    def of_this_machine(cls, workspace: Path) -> Self:
        """Return apt with the index that is here; it may be old, or there is none."""
        here = cls.__new__(cls)
        here.workspace, here._options = workspace, _SIGNED_ONLY
        return here

    def update(self) -> None:
        """Fetch the index and verify its signature.

        Raises: HostError when no mirror answers or a signature is wrong.
        """
        self._run("apt-get", "-q", "update")

    def depends(self, name: str) -> list[str]:
        """Return the packages that a package depends on, as the index says."""
        listed = self._run("apt-cache", "depends", "--no-recommends", name)
        lines = (line.strip().partition("Depends: ") for line in listed.splitlines())
        return [package.strip("<>") for _, found, package in lines if found]

    def all_depends(self, names: Iterable[str]) -> str:
        """Return what `apt-cache depends --recurse` says of some packages."""
        return self._run("apt-cache", "depends", "--recurse", *_NEEDED_ONLY, *names)

    def show(self, names: Iterable[str]) -> str:
        """Return what the index says of some packages, every version of them."""
        return self._run("apt-cache", "show", "--no-all-versions", *names)

    def download(self, name: str) -> Path:
        """Download a package into the workspace; return its file."""
        self.download_all([name])
        return next(self.workspace.glob(f"{name}_*.deb"))

    def download_all(self, names: Iterable[str]) -> None:
        """Download packages into the workspace.

        Raises: HostError when the mirror hasn't got one as the index describes it.
        """
        self._run("apt-get", "-q", "download", *names)

    def unpack(self, package: Path, into: Path) -> None:
        """Unpack a package's files; none of its scripts run."""
        self._run("dpkg-deb", "-x", str(package), str(into), options=())

    def _run(
        self, program: str, *words: str, options: Sequence[str] | None = None
    ) -> str:
        chosen = self._options if options is None else options
        try:
            done = subprocess.run(
                [program, *chosen, *words],
                cwd=self.workspace,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as failed:
            raise _failed(program, words, failed) from failed
        return done.stdout


def _own_directories(workspace: Path) -> tuple[str, ...]:
    lists, cache = workspace / "lists", workspace / "cache"
    for directory in (lists / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True)
    return ("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}")


def _failed(program: str, words: Sequence[str], failed: Exception) -> HostError:
    lines = (getattr(failed, "stderr", None) or "").splitlines()
    # apt's own errors begin with E:. dpkg-deb's first line is that of its tar.
    errors = [line[3:] for line in lines if line.startswith("E: ")] or lines[:1]
    verb = next(word for word in words if word != "-q")
    return HostError(
        f"{program} {verb}: it failed",
        _HINTS[program],
        "apt-get(8)",
        meaning=errors[0] if errors else str(failed),
    )
