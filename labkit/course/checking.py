"""Checking an answer: one task, one case, one of five words. Nothing is left behind.

check("02.1", enter_root)     what a notebook's check cell does: recorded, kept
judge(task, answers, host)    the same without the learner's files

LABKIT_CHECK=strict raises for everything but "passed"; with `strict,allow-impossible`
"not possible here" is let through. Neither changes what is recorded.
"""

from __future__ import annotations

import os
import secrets
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit import doctor, state
from labkit.course import progress, tasks
from labkit.course.attempt import (
    YOUR_TURN,
    is_skeleton,
    must_be_attempted,
)
from labkit.course.keep import keep
from labkit.course.seed import Seed
from labkit.course.task import Case, Task
from labkit.course.verdict import (
    NotAttempted,
    NotPassed,
    NotPossible,
    Refused,
    Verdict,
    Word,
)
from labkit.errors import HostError, LabError, NotPermitted
from labkit.host import Host, probe
from labkit.linux.flags import CAP
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.primitives.overlay import remove_tree

STRICT = "LABKIT_CHECK"
_FOLDER = "checks"


def check(id: str, *answers: Any) -> Verdict:
    """Check a learner's answer, record the verdict, keep the functions that passed.

    Args: id ["02.1"]; answers [the functions that the task names, in its order].
    Raises: NotPassed where LABKIT_CHECK says so; DocumentError for an unknown task.
    """
    task = tasks.task(id)
    verdict = judge(task, answers, probe(), Seed(progress.seed_text(id)))
    progress.note(verdict)
    if verdict.passed and task.kept:
        verdict = replace(verdict, observed=f"{verdict.observed}; {_keep(answers)}")
    if not _is_enough(verdict):
        raise NotPassed(verdict)
    return verdict


def judge(task: Task, answers: Sequence[Any], host: Host, seed: Seed) -> Verdict:
    """Run a task's check once; whatever happens in it, a verdict comes out."""
    try:
        with _case(task, host, seed) as case:
            _must_be_possible(task, answers, host)
            saw = task.check(answers[0] if len(answers) == 1 else answers, case)
    except Refused as refused:
        return _verdict(task, refused)
    except HostError as missing:
        return _verdict(task, NotPossible(missing.message))
    except Exception as broken:
        if isinstance(broken, NotPermitted) and not host.privilege.has(CAP.SYS_ADMIN):
            # Of the check's own steps: what the learner's function raised is Refused.
            return _verdict(task, NotPossible(f"{broken.message}: it needs root"))
        return _broken(task, broken)
    return Verdict(
        Word.PASSED, task.id, saw.observed, task.points, calls=saw.calls, said=saw.said
    )


def _must_be_possible(task: Task, answers: Sequence[Any], host: Host) -> None:
    for answer in answers:
        must_be_attempted(answer)
    report = doctor.examine(host).chapter(task.chapter)
    missing = [finding for finding in report.findings if finding.need in task.needs]
    if missing:
        if any(map(is_skeleton, answers)):
            raise NotAttempted(YOUR_TURN)
        raise NotPossible(f"{missing[0].observed}; try: {missing[0].remedy}")


@contextmanager
def _case(task: Task, host: Host, seed: Seed) -> Iterator[Case]:
    name = f"{task.id}-{secrets.token_hex(4)}"  # `labkit sweep` knows the folder
    path = HostPath(os.path.join(state.directory(_FOLDER), name))
    record = handle.record("check", name, {"directory": path})
    Path(path).mkdir()
    try:
        yield Case(seed, host, path)
    finally:
        remove_tree(path)
        record.forget()


def _verdict(task: Task, refused: Refused) -> Verdict:
    return Verdict(
        refused.word,
        task.id,
        refused.observed,
        task.points,
        refused.stage,
        task.hints,
        refused.calls,
        refused.said,
    )


def _broken(task: Task, error: Exception) -> Verdict:
    text = error.message if isinstance(error, LabError) else str(error)
    observed = (
        f"the check itself failed ({type(error).__name__}: {text}); "
        "that is the lab's fault, not yours"
    )
    trouble = "".join(traceback.format_exception(error))
    return Verdict(Word.BROKEN, task.id, observed, task.points, trouble=trouble)


def _keep(answers: Sequence[Any]) -> str:
    try:
        for answer in answers:
            keep(answer)
    except LabError as refused:
        return f"not kept: {refused.message}"
    return "kept in my_container.py"


def _is_enough(verdict: Verdict) -> bool:
    wanted = os.environ.get(STRICT, "").split(",")
    allowed = "allow-impossible" in wanted and verdict.word is Word.NOT_POSSIBLE
    return verdict.passed or allowed or "strict" not in wanted
