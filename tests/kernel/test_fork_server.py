"""The fork server starts containers for whoever asks, and may be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import NoSuchPath, StateError
from labkit.host import Host
from labkit.linux import CLONE
from labkit.linux.proc import children, process
from labkit.linux.views import HostPath
from labkit.network import LinkUp
from labkit.plan import Plan
from labkit.plan.kept import from_place
from labkit.plan.step import step
from labkit.plan.together import Together
from labkit.primitives.clone import Clone
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir
from labkit.runtime.ending import ending_in
from labkit.runtime.fork_server import ForkServer, Monitored, find
from labkit.runtime.log import entries_in
from labkit.runtime.request import Request
from tests.kernel.monitored import (
    directory_of,
    monitor_of,
    nothing_is_left_of,
    parts,
    simple,
)
from tests.kernel.watching import becomes_true, is_gone

SLEEP = ("sleep", "1000")


def held(name: str, argv: Sequence[str]) -> Request:
    """Return a request for a program that isn't started yet."""
    return replace(simple(name, argv), hold=True)


def ended(box: Monitored) -> Monitored:
    """Kill a container, and wait until nothing of it is there."""
    box.kill()
    box.wait_until_gone()
    return box


def test_a_program_is_started_and_its_end_is_told(server: ForkServer) -> None:
    box = server.start(simple("one", ["sh", "-c", "echo hello; exit 3"]))
    ending = box.wait(10)
    assert ending is not None and (ending.code, ending.signal) == (3, None)
    assert 0 < ending.started_s <= ending.ended_s
    box.wait_until_gone()
    assert [entry["log"] for entry in entries_in(box.directory)] == ["hello\n"]


def test_its_end_is_found_in_its_directory(server: ForkServer) -> None:
    box = server.start(simple("one", ["sh", "-c", "kill -TERM $$"]))
    box.wait_until_gone()
    ending = ending_in(box.directory)
    assert ending is not None and str(ending.exit) == "killed by SIGTERM"


def test_whoever_asks_next_gets_the_same_server(server: ForkServer) -> None:
    assert ForkServer.at(server.directory).pid == server.pid


def test_a_step_that_fails_is_raised_here(server: ForkServer) -> None:
    plan = Plan(Chdir("/no/such"), Exec(["true"]))
    with pytest.raises(NoSuchPath, match=r'chdir\("/no/such"\): ENOENT') as refused:
        server.start(Request("one", directory_of("one"), plan))
    assert refused.value.step == "go to /no/such"
    assert becomes_true(lambda: monitor_of("one") == 0)


@pytest.mark.usefixtures("as_root")
def test_a_container_whose_program_is_missing_leaves_nothing(
    server: ForkServer, host: Host
) -> None:
    with parts("missing", host) as one:
        with pytest.raises(NoSuchPath, match="execve"):
            server.start(one.request(["/no/such/program"]))
        assert becomes_true(lambda: nothing_is_left_of(one))


def test_a_plan_with_a_network_needs_nothing_that_the_server_has_not(
    server: ForkServer,
) -> None:
    cards = Together.of("switch lo on", LinkUp("lo"))
    plan = Plan(Clone(CLONE.NEWNET), cards, Exec(["cat", "/proc/net/fib_trie"]))
    box = server.start(replace(simple("one", ["true"]), plan=plan))
    box.wait_until_gone()
    assert "|-- 127.0.0.1\n" in "".join(e["log"] for e in entries_in(box.directory))


def test_a_kept_function_may_use_what_is_installed(
    server: ForkServer, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import psutil\n\ndef look(linux):\n    psutil.Process().name()\n")
    look = from_place({"file": str(file), "name": "look"})
    plan = Plan(step(look), Exec(["true"]))
    box = server.start(replace(simple("one", ["true"]), plan=plan))
    ending = box.wait(10)
    assert ending is not None and ending.code == 0
    box.wait_until_gone()


def test_a_name_that_runs_is_taken(server: ForkServer) -> None:
    box = server.start(simple("one", SLEEP))
    with pytest.raises(StateError, match="belongs to another running"):
        server.start(simple("one", SLEEP))
    assert not is_gone(box.pid)
    ended(box)
    ended(server.start(simple("one", SLEEP)))


def test_a_held_one_stands_until_it_is_told_to_go_on(server: ForkServer) -> None:
    request = simple("one", ["sh", "-c", "exit 4"])
    box = server.start(
        Request(request.name, request.directory, request.plan, hold=True)
    )
    assert process(box.pid).name == "labkit:inside"
    box.go_on()
    ending = box.wait(10)
    assert ending is not None and ending.code == 4
    box.wait_until_gone()


def test_a_held_one_whose_program_is_missing_ends_with_127(server: ForkServer) -> None:
    plan = Plan(Chdir("/"), Exec(["/no/such/program"]))
    box = server.start(Request("one", directory_of("one"), plan, hold=True))
    with pytest.raises(NoSuchPath, match="execve"):
        box.go_on()
    ending = box.wait(10)
    assert ending is not None and ending.code == 127
    box.wait_until_gone()


def test_a_held_one_can_be_ended(server: ForkServer) -> None:
    request = simple("one", SLEEP)
    box = server.start(
        Request(request.name, request.directory, request.plan, hold=True)
    )
    ended(box)
    ending = ending_in(box.directory)
    assert ending is not None and ending.started_s == 0.0


def test_another_process_finds_it_by_its_name(server: ForkServer) -> None:
    box = server.start(simple("one", SLEEP))
    found = find("one", box.directory)
    assert found is not None and found.pid == box.pid
    found.kill()
    ending = found.wait(10)
    assert ending is not None and ending.signal == "SIGKILL"
    found.wait_until_gone()
    box.wait_until_gone()
    assert find("one", box.directory) is None


def test_containers_go_on_when_the_server_is_killed(tmp_path: Path) -> None:
    one = ForkServer.at(HostPath(str(tmp_path)))
    box = one.start(simple("lasting", ["sh", "-c", "sleep 0.3; echo still; exit 6"]))
    os.kill(one.pid, signal.SIGKILL)
    ending = box.wait(10)
    assert ending is not None and ending.code == 6
    box.wait_until_gone()
    assert [entry["log"] for entry in entries_in(box.directory)] == ["still\n"]
    again = ForkServer.at(one.directory)
    ended(again.start(simple("next", SLEEP)))
    again.stop()


def test_its_interpreter_cannot_be_written(server: ForkServer) -> None:
    box = server.start(simple("one", SLEEP))
    assert os.readlink(f"/proc/{server.pid}/exe").startswith("/memfd:")
    monitor = monitor_of("one")
    with pytest.raises(OSError, match="Text file busy|not permitted"):
        os.open(f"/proc/{monitor}/exe", os.O_WRONLY)
    ended(box)


def test_what_fifty_start_at_once_all_ends_and_leaves_nothing(
    server: ForkServer,
) -> None:
    boxes = [server.start(simple(f"many{n}", SLEEP)) for n in range(50)]
    assert len({box.pid for box in boxes}) == 50
    for box in boxes:
        box.kill()
    for box in boxes:
        box.wait_until_gone()
    assert not any(monitor_of(box.name) for box in boxes)


def test_the_server_stays_as_it_was(server: ForkServer) -> None:
    def size() -> tuple[int, int]:
        pages = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
        return int(pages) * 4, len(os.listdir(f"/proc/{server.pid}/fd"))

    server.start(simple("one", ["true"])).wait_until_gone()
    before_kib, before_files = size()
    for _ in range(30):
        server.start(simple("one", ["true"])).wait_until_gone()
    after_kib, after_files = size()
    assert after_files == before_files
    assert after_kib - before_kib < 512
    assert before_kib < 40_000


def test_nobody_but_the_owner_may_ask(server: ForkServer) -> None:
    mode = os.stat(f"{server.directory}/socket").st_mode
    assert mode & 0o077 == 0


def test_a_template_that_was_killed_is_made_anew(server: ForkServer) -> None:
    template = template_of(server)
    os.kill(template, signal.SIGKILL)
    becomes_true(lambda: is_gone(template))
    for _ in range(2):  # one monitor was ready; the second is a copy of a new template
        box = server.start(simple("one", ["true"]))
        ending = box.wait(10)
        assert ending is not None and ending.code == 0
        box.wait_until_gone()
    assert template_of(server) != template


def template_of(server: ForkServer) -> int:
    """Return the pid of the process that the server's monitors are copies of."""

    def found() -> list[int]:
        named = (c for c in children(server.pid) if c.name == "labkit:template")
        return [child.pid for child in named]

    becomes_true(lambda: len(found()) == 1)  # a new copy still has the name
    return found()[0]
