"""An error has three lines, is the OSError that it stands for, and travels."""

from __future__ import annotations

import errno
import json
import pickle

import pytest

from labkit import errors
from labkit.errors import (
    Busy,
    LabError,
    LimitReached,
    NotPermitted,
    NotSupported,
    SyscallError,
    error_from_json,
    syscall_error,
)


def every_error() -> list[LabError]:
    """Return one of each class."""
    names = [name for name in vars(errors) if isinstance(getattr(errors, name), type)]
    classes = [getattr(errors, name) for name in sorted(names)]
    return [
        cls('mount("a")', errno.EPERM)
        if issubclass(cls, SyscallError)
        else cls("what failed", "a remedy", "man(1)", meaning="what it means")
        for cls in classes
        if issubclass(cls, LabError)
    ]


each = pytest.mark.parametrize("error", every_error(), ids=lambda e: type(e).__name__)


def test_it_has_three_lines() -> None:
    error = LabError("what failed", "a remedy", "man(1)", meaning="what it means")
    lines = ["what failed", "what it means", "try: a remedy (see man(1))"]
    assert str(error).splitlines() == lines


def test_a_part_that_is_missing_leaves_no_empty_line() -> None:
    assert str(LabError("what failed")) == "what failed"


@each
def test_it_survives_json(error: LabError) -> None:
    again = error_from_json(json.loads(json.dumps(error.to_json())))
    assert (type(again), str(again)) == (type(error), str(error))


@each
def test_it_survives_pickle(error: LabError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize(
    ("number", "cls", "python"),
    [
        (errno.EPERM, NotPermitted, PermissionError),
        (errno.EACCES, NotPermitted, PermissionError),
        (errno.ENOENT, errors.NoSuchPath, FileNotFoundError),
        (errno.EEXIST, errors.AlreadyThere, FileExistsError),
        (errno.ENOTDIR, errors.NoDirectory, NotADirectoryError),
        (errno.ENOSYS, NotSupported, OSError),
        (errno.EBUSY, Busy, OSError),
        (errno.ENOSPC, LimitReached, OSError),
        (errno.EXDEV, SyscallError, OSError),
    ],
)
def test_an_errno_has_its_class_and_is_pythons_own(
    number: int, cls: type[SyscallError], python: type[OSError]
) -> None:
    error = syscall_error('rename("a", "b")', number)
    assert type(error) is cls
    assert isinstance(error, python)
    assert error.errno == number


def test_the_first_line_is_the_call_with_the_errnos_name() -> None:
    assert (
        str(syscall_error("fork()", errno.EAGAIN)).splitlines()[0] == "fork(): EAGAIN"
    )


def test_an_errno_without_a_name_is_told_by_its_number() -> None:
    assert syscall_error("fork()", 9999).message == "fork(): 9999"
