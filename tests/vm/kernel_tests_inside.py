"""The tests of the primitives once more, in the lab VM, on cgroup v2.

`make test-vm-kernel` runs them. They are no part of `make test`: under emulation a
thousand small processes take longer than all other tests together.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from tests.notebooks.nbval_run import PROJECT
from tests.vm.notebook import Notebook

TESTS_S = 3600.0
# pytest in the VM, as in a terminal there: a run of its own, not a part of this one.
PYTEST = """
    import os, subprocess, sys
    environment = dict(os.environ)
    for name in ("LABKIT_TEST_RUN", "LABKIT_WORK"):
        environment.pop(name, None)
    options = ["-p", "no:cacheprovider", "--color=no", "-q", "--tb=short"]
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "tests/kernel"], text=True,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in pytest.stdout:
        print(line, end="", flush=True)
    print("pytest ended with", pytest.wait())
"""


@pytest.mark.timeout(TESTS_S + 60)
def test_the_kernel_tests_pass_on_version_2(
    ready: None, notebook: Callable[..., Notebook]
) -> None:
    said = notebook(PROJECT).run(textwrap.dedent(PYTEST), TESTS_S)
    print(said)
    assert said.endswith("pytest ended with 0")
