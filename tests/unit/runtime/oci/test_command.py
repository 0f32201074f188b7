"""The command line: words in, an exit code and an error's text out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import syscall_error
from labkit.runtime.oci import command
from labkit.runtime.oci.command import VERBS, main
from labkit.runtime.oci.ending import signal_number
from labkit.runtime.oci.log import text_of
from labkit.runtime.oci.script import write_script
from tests.style.sources import PROJECT


def test_each_verb_has_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        assert f"labkit-oci {verb}" in capsys.readouterr().out


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("labkit-oci version ")


@pytest.mark.parametrize(
    "line",
    ["nosuchverb", "--nosuch list", "list --nosuch", "--systemd-cgroup list",
     "--cgroup-manager=systemd list", "state", "create --bundle"],
)  # fmt: skip
def test_what_it_cannot_do_is_refused(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path), *line.split()]) == 1
    assert capsys.readouterr().err.startswith("labkit-oci: ")


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "pause", "exec"])
def test_a_container_that_is_not_there_is_an_error(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path), verb, "none", "x"]) == (
        255 if verb == "exec" else 1
    )
    assert 'container "none" does not exist' in capsys.readouterr().err


def test_deleting_by_force_what_is_not_there_is_fine(tmp_path: Path) -> None:
    assert main(["--root", str(tmp_path), "delete", "--force", "none"]) == 0


def test_an_error_is_appended_to_the_log_as_json(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    words = ["--log", str(log), "--log-format=json", "--root", str(tmp_path)]
    assert main([*words, "state", "none"]) == 1
    before, line = log.read_text().splitlines()
    told = json.loads(line)
    assert before == "before" and told["level"] == "error"
    assert "does not exist" in told["msg"] and told["time"].endswith("Z")


def test_an_errno_has_the_words_by_which_engines_know_it() -> None:
    assert "No such file or directory" in text_of(syscall_error('open("/x")', 2))
    assert "Permission denied" in text_of(syscall_error('open("/x")', 13))
    assert "Operation not permitted" in text_of(syscall_error("setrlimit()", 1))


@pytest.mark.parametrize(
    ("word", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("term", 15), ("0", 0),
     ("RTMIN", 34)],
)  # fmt: skip
def test_a_signal_has_several_names(word: str, number: int) -> None:
    assert signal_number(word) == number


@pytest.mark.parametrize("word", ["NOSUCH", "99", "-1", "SIG_DFL", "_DFL", ""])
def test_another_word_is_no_signal(word: str) -> None:
    with pytest.raises(command.DocumentError, match="unknown signal"):
        signal_number(word)


def test_spec_writes_an_example_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spec", "--bundle", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "config.json").read_text())
    assert document["process"]["args"] == ["sh"]
    assert main(["spec", "--bundle", str(tmp_path)]) == 1
    assert "exists. Remove it first" in capsys.readouterr().err


def test_the_script_needs_no_environment_and_no_directory(tmp_path: Path) -> None:
    script = write_script(tmp_path / "labkit-oci")
    line = [script, "--root", str(tmp_path / "root"), "list", "-q"]
    done = subprocess.run(line, env={}, cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_light_verbs_import_little(tmp_path: Path) -> None:
    # Each of these is paid for by every start of a container.
    heavy = {"argparse", "ctypes", "dataclasses", "inspect", "pathlib", "socket",
             "subprocess", "tempfile", "typing", "labkit.linux",
             "labkit.plan"}  # fmt: skip
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "from labkit.runtime.oci.command import main\n"
        f"main(['--root', {str(tmp_path)!r}, sys.argv[1], 'none'])\n"
        "print(*sys.modules)"
    )
    for verb in ("start", "state", "kill", "delete"):
        line = [sys.executable, "-IS", "-c", code, verb]
        done = subprocess.run(
            line, env=dict(os.environ), capture_output=True, text=True
        )
        assert set(done.stdout.split()) & heavy == set(), verb
