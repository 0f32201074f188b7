"""labkit-oci: a container's whole life by its command line, as an engine uses it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from labkit.runtime.oci.groups import freeze, frozen, remove
from labkit.runtime.oci.script import write_script
from tests.kernel.bundles import Bundle
from tests.kernel.watching import becomes_true

PATIENCE_S = 60  # more than any of these takes on a busy machine


class Done(NamedTuple):
    code: int
    said: str


class Runtime:
    """The program, with a root and a bundle of its own."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.folder = bundle, bundle.path.parent
        self.root = self.folder / "root"
        self.script = write_script(self.folder / "labkit-oci")
        self.process, self.linux = bundle.process, bundle.linux
        self.process["args"] = ["sleep", "100"]
        self._numbers = itertools.count()

    def start(self, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a verb. Its output goes to a file: a container may hold a pipe."""
        self.bundle.write()
        said = self.folder / f"said-{next(self._numbers)}"
        line = [self.script, "--root", str(self.root), *words]
        with said.open("w") as file:
            program = subprocess.Popen(
                line, cwd=self.bundle.path, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, env={}, pass_fds=[],
            )  # fmt: skip
        return program, said

    def __call__(self, *words: str) -> Done:
        program, said = self.start(*words)
        return Done(program.wait(PATIENCE_S), said.read_text())

    def well(self, *words: str) -> str:
        done = self(*words)
        assert done.code == 0, done.said
        return done.said

    def refuses(self, *words: str) -> str:
        done = self(*words)
        assert done.code != 0, done.said
        return done.said

    def state(self, name: str = "box") -> dict[str, Any]:
        return json.loads(self.well("state", name))  # type: ignore[no-any-return]

    def status(self, name: str = "box") -> str:
        return str(self.state(name)["status"])

    def left(self) -> list[str]:
        """Return what a container has left."""
        groups = (str(p) for p in Path("/sys/fs/cgroup").glob("**/labkit-box*"))
        names = [p.name for p in self.root.glob("*") if p.name[0] != "."]
        return [*groups, *names]


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    made = Runtime(bundle)
    yield made
    made.well("delete", "--force", "box")
    assert made.left() == []


def test_a_life_goes_by_the_specification(runtime: Runtime) -> None:
    pid_file = runtime.folder / "pid"
    runtime.well("create", "--pid-file", str(pid_file), "box")
    state = runtime.state()
    assert state["status"] == "created" and state["pid"] == int(pid_file.read_text())
    assert "already exists" in runtime.refuses("create", "box")
    runtime.well("start", "box")
    assert runtime.status() == "running"
    assert "cannot start" in runtime.refuses("start", "box")
    assert "not stopped" in runtime.refuses("delete", "box")
    runtime.well("kill", "box", "KILL")
    assert becomes_true(lambda: runtime.status() == "stopped")
    assert "not running" in runtime.refuses("kill", "box")
    runtime.well("delete", "box")
    assert "does not exist" in runtime.refuses("state", "box")


def test_one_that_was_never_started_is_deleted(runtime: Runtime) -> None:
    runtime.well("create", "box")
    runtime.well("delete", "box")
    assert runtime.left() == []


def test_a_changed_document_changes_nothing_afterwards(runtime: Runtime) -> None:
    runtime.process["args"] = ["sh", "-c", "exit 3"]
    runtime.well("create", "box")
    runtime.process["args"] = ["sh", "-c", "exit 4"]
    runtime.bundle.document["hooks"] = {"poststop": [{"path": "/bin/false"}]}
    runtime.well("start", "box")
    assert becomes_true(lambda: runtime.status() == "stopped")
    assert "warning" not in runtime.well("delete", "box")


def test_run_ends_as_the_program_does(runtime: Runtime) -> None:
    runtime.process["args"] = ["sh", "-c", "echo said; exit 7"]
    assert runtime("run", "box") == Done(7, "said\n")
    runtime.process["args"] = ["sh", "-c", "sh -c 'kill -9 $$'; exit 137"]
    assert runtime("run", "box").code == 137
    assert runtime.left() == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("args", ["/no/such"], "no such file or directory"),
        ("args", ["nosuch"], "executable file not found in $PATH"),
        ("args", ["/etc/passwd"], "permission denied"),
        ("args", [], "/process/args"),
        ("cwd", "etc", "/process/cwd"),
        ("rlimits", [{"type": "RLIMIT_NO", "soft": 1, "hard": 1}], "RLIMIT_NO"),
    ],
)
def test_a_create_that_fails_says_why_and_leaves_nothing(
    runtime: Runtime, field: str, value: object, words: str
) -> None:
    runtime.process[field] = value
    assert words in runtime.refuses("create", "box")
    assert runtime.left() == []


def test_a_mount_that_fails_leaves_nothing(runtime: Runtime) -> None:
    mount = {"destination": "/x", "type": "bind", "source": "/no/such", "options": []}
    runtime.bundle.document["mounts"].append(mount)
    said = runtime.refuses("create", "box")
    assert "/no/such" in said and "No such file or directory" in said
    assert runtime.left() == []


@pytest.mark.parametrize("after_ms", [40, 90, 140, 220])
def test_a_create_that_is_killed_is_repaired_by_the_next(
    runtime: Runtime, after_ms: int
) -> None:
    program, _ = runtime.start("create", "box")
    try:
        program.wait(after_ms / 1000)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    listed = runtime("state", "box")
    if listed.code == 0 and json.loads(listed.said)["status"] == "created":
        runtime.well("delete", "box")  # it was quicker
    runtime.well("create", "box")
    assert runtime.status() == "created"


def test_of_two_creates_at_once_one_wins(runtime: Runtime) -> None:
    programs = [runtime.start("create", "box") for _ in range(2)]
    codes = sorted(program.wait(PATIENCE_S) for program, _ in programs)
    assert codes == [0, 1]
    assert runtime.status() == "created"


def test_exec_runs_one_more_program(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    line = "echo $X; pwd; id -u; id -g; exit 9"
    options = ["--cwd", "/etc", "-e", "X=one", "-u", "1000:1000"]
    assert runtime("exec", *options, "box", "sh", "-c", line) == Done(
        9, "one\n/etc\n1000\n1000\n"
    )
    inside = runtime.well(
        "exec", "box", "sh", "-c", "cat /proc/1/comm; ls /proc/self/fd"
    )
    assert inside.split() == ["sleep", "0", "1", "2", "3"]
    assert runtime("exec", "box", "sh", "-c", "kill -9 $$").code == 137


def test_exec_of_what_is_not_there_says_so(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    for _ in range(5):  # whoever hears first of its death must not speak for it
        done = runtime("exec", "box", "nosuch")
        assert done.code == 255 and "executable file not found in $PATH" in done.said
    runtime.well("kill", "box", "9")
    assert becomes_true(lambda: runtime.status() == "stopped")
    assert "stopped container" in runtime.refuses("exec", "box", "true")


def test_a_process_file_says_all_about_a_process(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    file, pid_file = runtime.folder / "process.json", runtime.folder / "pid"
    document = {"args": ["sleep", "50"], "cwd": "/", "env": ["PATH=/bin"]}
    file.write_text(json.dumps(document))
    words = ["--process", str(file), "--pid-file", str(pid_file), "--detach", "box"]
    runtime.well("exec", *words)
    pids = json.loads(runtime.well("ps", "--format", "json", "box"))
    assert int(pid_file.read_text()) in pids and len(pids) == 2


def test_a_terminal_is_sent_over_the_console_socket(runtime: Runtime) -> None:
    runtime.process.update(
        terminal=True, args=["sh", "-c", "tty; test -t 0 && echo yes"]
    )
    place = str(runtime.folder / "console")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        runtime.well("create", "--console-socket", place, "box")
        connection, _ = listening.accept()
        with connection:
            _, [master], _, _ = socket.recv_fds(connection, 4096, 1)
    runtime.well("start", "box")
    with os.fdopen(master, "rb", buffering=0) as terminal:
        said = b""
        while b"yes" not in said:
            said += terminal.read(1024)
    assert said.split() == [b"/dev/pts/0", b"yes"]


def test_pause_stops_everything_until_resume(runtime: Runtime) -> None:
    runtime.process["args"] = ["sh", "-c", "while :; do echo x; sleep 0.01; done"]
    program, said = runtime.start("run", "-d", "box")
    assert program.wait(PATIENCE_S) == 0
    runtime.well("pause", "box")
    assert runtime.status() == "paused"
    size = said.stat().st_size
    assert "paused" in runtime.refuses("exec", "box", "true")
    assert said.stat().st_size == size
    runtime.well("resume", "box")
    assert becomes_true(lambda: said.stat().st_size > size)


def test_a_paused_one_is_deleted_by_force(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    runtime.well("pause", "box")
    runtime.well("delete", "--force", "box")
    assert runtime.left() == []


def test_update_changes_limits_while_it_runs(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    runtime.well("update", "--pids-limit", "55", "--memory", "48M", "box")
    told = json.loads(runtime.well("events", "--stats", "box"))["data"]
    assert told["pids"]["limit"] == 55
    assert told["memory"]["usage"]["limit"] == 48 << 20
    file = runtime.folder / "resources.json"
    file.write_text(json.dumps({"pids": {"limit": 44}}))
    runtime.well("update", "--resources", str(file), "box")
    told = json.loads(runtime.well("events", "--stats", "box"))["data"]
    assert told["pids"]["limit"] == 44


def test_ps_takes_the_options_of_ps(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    assert "sleep 100" in runtime.well("ps", "box")
    headline, row = runtime.well("ps", "box", "-e", "-o", "comm,pid").splitlines()
    assert headline.split() == ["COMMAND", "PID"]
    assert row.split() == ["sleep", str(runtime.state()["pid"])]
    assert "column PID" in runtime.refuses("ps", "box", "-e", "-o", "comm")


def test_exec_enters_only_a_cgroup_that_is_there(runtime: Runtime) -> None:
    runtime.well("run", "-d", "box")
    record = json.loads((runtime.root / "box/state.json").read_text())
    controller, directory = next(iter(record["cgroups"].items()))
    words = ["exec", "--cgroup", f"{controller}:/inner" if controller else "/inner"]
    told = runtime.refuses(*words, "box", "true")
    assert f"{directory}/inner/cgroup.procs: no such file or directory" in told
    Path(directory, "inner").mkdir()
    assert "/inner\n" in runtime.well(*words, "box", "cat", "/proc/self/cgroup")


def test_a_cgroup_that_is_frozen_already_is_refused_and_left_alone(
    runtime: Runtime,
) -> None:
    runtime.linux["cgroupsPath"] = "/labkit-box"
    runtime.well("create", "box")
    record = json.loads((runtime.root / "box/state.json").read_text())
    runtime.well("delete", "box")
    for directory in record["cgroups"].values():
        Path(directory).mkdir()
    freeze(record["cgroups"], on=True)
    assert "unexpectedly frozen" in runtime.refuses("create", "box")
    assert frozen(record["cgroups"])
    remove(record["cgroups"])


def test_all_processes_get_a_signal(runtime: Runtime) -> None:
    runtime.process["args"] = [
        "sh",
        "-c",
        "sleep 98 & trap '' TERM; sleep 99; sleep 97",
    ]
    runtime.well("run", "-d", "box")
    count = ["ps", "--format", "json", "box"]
    assert becomes_true(lambda: len(json.loads(runtime.well(*count))) == 3)
    runtime.well("kill", "--all", "box", "TERM")
    assert becomes_true(lambda: len(json.loads(runtime.well(*count))) == 2)


def test_hooks_run_in_their_order_with_the_state(runtime: Runtime) -> None:
    told = runtime.folder / "told"
    moments = ["prestart", "createRuntime", "poststart", "poststop"]
    runtime.bundle.document["hooks"] = {
        moment: [
            {
                "path": "/bin/sh",
                "args": ["sh", "-c", f"cat >{told}-{moment}; echo {moment} >>{told}"],
            }
        ]
        for moment in moments
    }
    runtime.well("create", "box")
    runtime.well("start", "box")
    runtime.well("delete", "--force", "box")
    assert told.read_text().split() == moments
    states = [json.loads(Path(f"{told}-{m}").read_text()) for m in moments]
    statuses = [state["status"] for state in states]
    assert statuses == ["creating", "creating", "running", "stopped"]


def test_a_hook_that_fails_before_the_start_leaves_nothing(runtime: Runtime) -> None:
    runtime.bundle.document["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    assert "/bin/false" in runtime.refuses("create", "box")
    assert runtime.left() == []


def test_only_wanted_descriptors_reach_the_container(runtime: Runtime) -> None:
    runtime.process["args"] = ["ls", "/proc/self/fd"]
    script = 'exec 3<&0 4<&0 9<&0; exec "$@"'
    line = [
        runtime.script,
        "--root",
        str(runtime.root),
        "run",
        "--preserve-fds",
        "1",
        "box",
    ]
    runtime.bundle.write()
    said = subprocess.run(
        ["sh", "-c", script, "sh", *line], cwd=runtime.bundle.path, check=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
    ).stdout  # fmt: skip
    # 4 is what ls itself has opened.
    assert said.split() == ["0", "1", "2", "3", "4"]


def test_a_signal_to_run_reaches_the_program(runtime: Runtime) -> None:
    runtime.process["args"] = [
        "sh",
        "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.05; done",
    ]
    program, _ = runtime.start("run", "box")
    assert becomes_true(lambda: runtime("state", "box").code == 0)
    assert becomes_true(lambda: runtime.status() == "running")
    program.send_signal(signal.SIGTERM)
    code = program.wait(PATIENCE_S)
    assert code in (5, 143)  # 143: before the shell had set its trap, as PID 1 can't
