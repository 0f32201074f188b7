"""podman doesn't notice which runtime it has: each case ends as with crun."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.rootfs import rootfs
from labkit.runtime.oci.script import write_script
from tests.oracle import private_machine
from tests.oracle.podman_cases import CASES, DIFFERENCES, difference
from tests.style.sources import PROJECT
from tests.support.private_state import place_for_overlays
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
CRUN = "/usr/bin/crun"
TIMEOUT_S = 300  # about 50 s where nothing else is running
Results = dict[str, dict[str, list[Any]]]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for podman's storage, on no overlay."""
    made = place_for_overlays() / f"labkit-podman-{os.getpid()}"
    made.mkdir()
    yield made
    subprocess.run(["umount", "-R", made / "storage/overlay"], capture_output=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def results(place: Path) -> Results:
    """What came of every case, with both runtimes."""
    for program in ("podman", "conmon", "crun", "catatonit"):
        need(program, shutil.which(program), f"{program} isn't installed")
    ours = write_script(place / "labkit-oci")
    _make_image(place)
    line = [sys.executable, "-m", "tests.oracle.podman_runs", str(place), ours, CRUN]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    private_machine.run(line, env, TIMEOUT_S)
    found: Results = json.loads((place / "results.json").read_text())
    return {Path(runtime).name: told for runtime, told in found.items()}


@pytest.mark.timeout(TIMEOUT_S + 20)
@pytest.mark.parametrize("case", CASES)
def test_it_ends_as_with_crun(case: str, results: Results) -> None:
    ours, theirs = results["labkit-oci"][case], results["crun"][case]
    if case not in DIFFERENCES:
        assert ours[:2] == theirs[:2], f"{ours[2]}\n-- crun:\n{theirs[2]}"
        return
    known, found = DIFFERENCES[case], difference(tuple(ours[:2]), tuple(theirs[:2]))
    assert {*found.theirs} <= {*known.theirs} and {*found.ours} <= {*known.ours}
    assert known.codes == found.codes, known.why


def _make_image(place: Path) -> None:
    root = place / "rootfs"
    shutil.copytree(rootfs("alpine").path, root, symlinks=True)
    for name in ("passwd", "group"):
        with (root / "etc" / name).open("a") as file:
            file.write({"passwd": "lab:x:1000:1000:lab:/:/bin/sh\n",
                        "group": "lab:x:1000:\nextra:x:2000:lab\n"}[name])  # fmt: skip
    (root / "etc/hostname").write_text("tree\n")
    for name, text in {"noformat": "?\n", "nointerpreter": "#!/no/such\n"}.items():
        (root / "etc" / name).write_text(text)
        (root / "etc" / name).chmod(stat.S_IRWXU | 0o055)
    subprocess.run(["tar", "-C", root, "-cf", place / "box.tar", "."], check=True)
