"""A learner's function inside a child, with a witness who tells of every call.

The notes go to the child's output as they happen, one write(2) each. So none is lost
when the process becomes another program, is killed, or leaves on its own; and a copy
that the function forked tells of its calls, too.

Reading order: Witnessed and Rehearsed are the steps; `notes_in` reads what they told.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.errors import LabError, SyscallError
from labkit.linux.call import Call
from labkit.linux.syscalls import Linux, Timed
from labkit.linux.table import TABLE
from labkit.linux.trace import Recorder
from labkit.plan.step import FunctionStep

_MARK = "\x1e"  # ASCII's record separator: before and after each note
_COPY_CAME_BACK = 127  # what a shell answers when it could not start a program
_SHOWN = 120
_OURS = (__file__,)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a witness told: the calls, how the function ended, what it printed."""

    calls: tuple[Call, ...] = ()
    ending: Mapping[str, Any] = field(default_factory=dict)  # of the first process
    copies: tuple[Mapping[str, Any], ...] = ()  # endings of processes that it forked
    said: str = ""
    last: str = ""  # the latest call of the first process

    @property
    def settled(self) -> bool:
        """Whether each process that was forked has become a program, or ended."""
        names = [call.name for call in self.calls]
        return names.count("fork") <= names.count("execve") + len(self.copies)


@dataclass(frozen=True, slots=True, repr=False)
class Witnessed(FunctionStep):
    """A learner's function, run for real."""

    def apply(self, linux: Linux) -> int | None:
        witness = _Witness(linux.inside, forked=True)
        _run(lambda: self.function(witness, *self.args, **self.kwargs))
        if isinstance(linux, Timed):
            linux.calls.extend(witness.calls)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Rehearsed(FunctionStep):
    """A learner's function on the recorder: every call is told, none is made.

    fork answers as in the child (0), or as in the parent.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    fork_answers: int = 0

    def apply(self, linux: Linux) -> int | None:
        recorder = _Rehearsing(self.files, self.fork_answers)
        _run(lambda: self.function(recorder, *self.args, **self.kwargs))
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Asked(FunctionStep):
    """A learner's function that gets no `linux`: it makes a value."""

    def apply(self, linux: Linux) -> int | None:
        _run(lambda: self.function(*self.args, **self.kwargs))
        return None


def notes_in(output: str) -> Notes:
    """Read the notes out of a child's output; what is left is what it printed."""
    parts = output.split(_MARK)
    calls: list[Call] = []
    last: dict[int, int] = {}  # process -> which call is its latest
    endings: list[dict[str, Any]] = []
    for note in map(json.loads, parts[1::2]):
        if "call" in note:
            last[note["by"]] = len(calls)
            calls.append(Call(note["call"], note["text"]))
        elif "refused" in note:
            index = last[note["by"]]
            calls[index] = replace(calls[index], error=note["refused"])
        else:
            endings.append(note)
    first = [note for note in endings if not note["copy"]]
    copies = tuple(note for note in endings if note["copy"])
    latest = calls[next(iter(last.values()))].text if last else ""
    said = "".join(parts[::2])
    return Notes(tuple(calls), first[0] if first else {}, copies, said, latest)


class _Witness(Timed):
    def _call(self, name: str, *arguments: Any) -> Any:
        # Before the call, because execve doesn't return.
        _tell({"call": name, "text": TABLE[name].text(arguments)})
        try:
            return super()._call(name, *arguments)
        except SyscallError as refused:
            _tell({"refused": refused.errno_name})
            raise


class _Rehearsing(Recorder):
    def __init__(self, files: Mapping[str, str], fork_answers: int) -> None:
        super().__init__(files=files)
        self._fork_answers = fork_answers

    def _call(self, name: str, *arguments: Any) -> Any:
        answer = super()._call(name, *arguments)
        _tell({"call": name, "text": self.calls[-1].text})
        if name == "execve":
            raise _Became
        return self._fork_answers if name == "fork" else answer


class _Became(BaseException):
    # Nothing comes after a call that puts another program in this one's place.
    pass


def _run(function: Callable[[], Any]) -> None:
    me = os.getpid()
    sys.stdout.flush()  # or a copy that is forked would say it again
    try:
        ending = _returned(function())
    except _Became:
        ending = {"became": True}
    except NotImplementedError as unfinished:
        ending = {"unfinished": str(unfinished)}
    except SyscallError as refused:
        ending = {"refused_call": refused.to_json(), "line": _line_of(refused)}
    except BaseException as raised:  # SystemExit, too: here it ends nothing
        what = raised.message if isinstance(raised, LabError) else str(raised)
        text = f"{type(raised).__name__}: {what}".removesuffix(": ")
        ending = {"raised": text, "line": _line_of(raised)}
    copy = os.getpid() != me
    sys.stdout.flush()
    _tell({**ending, "copy": copy})
    if copy:  # two processes must not both go on as the child
        os._exit(_COPY_CAME_BACK)


def _returned(value: Any) -> dict[str, Any]:
    shown = repr(value)[:_SHOWN]
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return {"returned": None, "shown": shown}
    return {"returned": value, "shown": shown}


def _line_of(raised: BaseException) -> int:
    # The deepest line in the learner's own code: not the lab's, not a library's.
    frames = traceback.extract_tb(raised.__traceback__)
    own = next((f.filename for f in frames if f.filename not in _OURS), "")
    lines = [frame.lineno for frame in frames if frame.filename == own]
    return (lines or [0])[-1] or 0


def _tell(note: Mapping[str, Any]) -> None:
    text = json.dumps({**note, "by": os.getpid()})
    os.write(1, f"{_MARK}{text}{_MARK}".encode())
