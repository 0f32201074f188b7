"""How this machine reaches apt's mirror and pip's index, for the new one to do so, too.

Everything is read from where apt and pip read it: nothing about any machine is here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

# Copied when they exist: how names are found, whom to trust, what pip asks.
FILES = (
    "/etc/hosts",
    "/etc/pip.conf",
    "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/xdg/pip",
    "/root/.config/pip",
    "/root/.pip",
    "/usr/local/share/ca-certificates",
)
VARIABLES = re.compile(
    r"PIP_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|\w+_proxy|\w+_PROXY"
    r"|CI|LABKIT_NO_SKIPS|LABKIT_ALLOW_SKIPS|JUPYTER_PORT"
)
APT_OPTIONS = re.compile(r"Acquire::(Check-|http|Retries|ForceIP)")


def codename() -> str:
    """Return the release to try: this machine's, or LABKIT_FRESH_SUITE=trixie."""
    return os.environ.get("LABKIT_FRESH_SUITE", this_release())


def this_release() -> str:
    """Return the distribution's name for its release: bookworm."""
    release = Path("/etc/os-release").read_text()
    name: str = re.findall(r"VERSION_CODENAME=(\w+)", release)[0]
    return name


def apt_sources() -> list[Path]:
    """Return the files that name apt's mirrors; for another release its own mirror."""
    if codename() != this_release():
        return []
    folder = Path("/etc/apt")
    single = [folder / "sources.list"] if (folder / "sources.list").exists() else []
    files = (folder / "sources.list.d").glob("*")
    return single + sorted(p for p in files if p.suffix in (".list", ".sources"))


def apt_options() -> list[str]:
    """Return what this machine tells apt about downloads."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"],
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    return [line for line in dump.stdout.splitlines() if APT_OPTIONS.match(line)]


def copy_to(root: Path) -> None:
    """Copy this machine's settings to the same places below another root."""
    for source in filter(Path.exists, map(Path, FILES)):
        target = root / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.unlink(missing_ok=True)
            shutil.copy(source, target)


def environment() -> dict[str, str]:
    """Return the environment of a root shell there, with pip's variables from here."""
    passed = {k: v for k, v in os.environ.items() if VARIABLES.fullmatch(k)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**passed, "HOME": "/root", "PATH": path, "LANG": "C.UTF-8"}


def pip_directories() -> list[Path]:
    """Return the directories of this machine that pip is told to look into."""
    files = [Path(name) / "pip.conf" for name in FILES] + [Path("/etc/pip.conf")]
    texts = [path.read_text() for path in files if path.is_file()]
    texts += [v for k, v in os.environ.items() if k.startswith("PIP_")]
    paths = re.findall(r"(?:^|[\s=]|file://)(/[^\s'\",]+)", "\n".join(texts))
    found = {Path(path) for path in paths if Path(path).is_dir()}
    # An index on disk has its files beside its list of them, which is called simple.
    return sorted({p.parent if p.name == "simple" else p for p in found})
