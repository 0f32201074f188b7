"""The tests of the primitives once more, in the lab VM: there with cgroup version 2.

All of the primitives, and a runtime's plans with them. Of the exercises' checks, which
run outside with three seeds and every mistake, one seed, and the mistakes of chapters
where the versions differ. Of the deaths at every step, the monitor's, with one plan.

`make test-vm-kernel` runs them alone; LABKIT_VM_TESTS names some of them, as pytest's
arguments: LABKIT_VM_TESTS="tests/kernel/test_mounts.py -k bind --durations=9".
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

import pytest

from tests.notebooks.nbval_run import PROJECT
from tests.vm.notebook import Notebook

# Not those of images, networks, labkit-oci and most of what may be killed, which take
# longer than all others together under emulation, nor the book of escapes, whose walls
# are taken away only here: LABKIT_VM_TESTS="tests/kernel tests/escapes" has them.
FILES = """
    cgroups cgroups_v2 child child_endings child_interrupts container devices hints
    idmap launch masks mounts namespaces overlay privileges process root rootfs_runs
    runtime_plan runtime_users sealed sweep trials checks every_step
""".split()  # noqa: SIM905  a list of words
EVERYTHING = " ".join(f"tests/kernel/test_{name}.py" for name in FILES)
EVERYTHING += (
    " -k '(not test_checks or test_the_solution_passes)"
    " and (not test_every_step or test_the_monitor and layers)'"
)
TESTS = os.environ.get("LABKIT_VM_TESTS", EVERYTHING)
TESTS_S = 1500.0
# What a machine with version 2 and without a package index can't have. With
# LABKIT_NO_SKIPS=1 every other skip is a failure there as well.
MISSING_INSIDE = "cgroup-v1 freezer apt no-newuidmap"
# pytest in the VM, as in a terminal there: a run of its own, no part of this one. Its
# state lies on the VM's disk, because only a disk takes I/O limits.
PYTEST = f"""
    import os, shlex, subprocess, sys
    from labkit import state
    environment = dict(os.environ, LABKIT_ALLOW_SKIPS="{MISSING_INSIDE}")
    environment["LABKIT_TEST_DIR"] = state.directory()
    for name in ("LABKIT_TEST_RUN", "LABKIT_TEST_BESIDE", "LABKIT_WORK"):
        environment.pop(name, None)
    # Only the plugins that are needed: each is compiled anew, which takes seconds here.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-p", "no:cacheprovider", "-p", "pytest_timeout"]
    options += ["--color=no", "--tb=short", *shlex.split({TESTS!r})]
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options], text=True,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in pytest.stdout:
        print(line, end="", flush=True)
    print("pytest ended with", pytest.wait())
"""


@pytest.mark.timeout(TESTS_S + 60)
def test_the_kernel_tests_pass_on_version_2(
    ready: None, notebook: Callable[..., Notebook], capsys: pytest.CaptureFixture[str]
) -> None:
    # As it comes: a run that gets stuck has told where.
    with capsys.disabled():
        print("\nin the lab VM:")
        said = notebook(PROJECT).run(
            textwrap.dedent(PYTEST),
            TESTS_S,
            lambda text: print(text, end="", flush=True),
        )
    assert said.endswith("pytest ended with 0")
