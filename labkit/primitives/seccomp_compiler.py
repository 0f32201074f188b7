"""The compiler: a list of system calls becomes a BPF program. Chapter "Privileges".

    compiled(filter)                 by libseccomp, which is loaded when first needed
    compiled(filter, directory)      kept there by its digest: the next start reads it

Left out: names that this libseccomp doesn't know are passed over, as engines do: a
profile names calls of many machines and releases.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from labkit.errors import DocumentError, HostError
from labkit.linux.views import HostPath
from labkit.primitives.seccomp import (
    ACTIONS,
    ARCHITECTURES,
    OPERATORS,
    WITH_NUMBER,
    CallRule,
    Condition,
    Filter,
)
from labkit.primitives.seccomp_newer import Last, newer_calls

_LIBRARY = "libseccomp.so.2"
_VERSION = b"3"  # of what is kept: another one isn't read
_NO_SUCH_CALL = -1  # seccomp.h, __NR_SCMP_ERROR
_LETS_THROUGH = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_OPTIMIZE, _AS_A_TREE = 8, 2  # SCMP_FLTATR_CTL_OPTIMIZE


class _Comparison(ctypes.Structure):
    # seccomp.h, struct scmp_arg_cmp
    _fields_ = [
        ("arg", ctypes.c_uint), ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64),
    ]  # fmt: skip


def compiled(rules: Filter, kept_in: HostPath | None = None) -> bytes:
    """Return the program of a filter, from the directory where it was kept if it was.

    Args: kept_in [host path of a directory that only its owner may write; None keeps it
        in this process alone].
    Raises: DocumentError for an action, an operator or an architecture that isn't
        known; HostError without libseccomp.
    """
    if kept_in is None:
        return _compiled(rules)
    path = f"{kept_in}/{_digest(rules)}.bpf"
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        program = _compiled(rules)
    _keep(path, program)
    return program


@lru_cache(maxsize=16)
def _compiled(rules: Filter) -> bytes:
    library = _library()
    context = library.seccomp_init(action(rules.default, rules.number))
    if not context:
        raise DocumentError(f"seccomp: {rules.default} can't be a default action")
    try:
        _set_architectures(library, context, rules.architectures)
        library.seccomp_attr_set(context, _OPTIMIZE, _AS_A_TREE)
        for rule in rules.rules:
            _add(library, context, rules, rule)
        with _memory() as fd:
            _check(library.seccomp_export_bpf(context, fd), "export")
            program = os.pread(fd, os.fstat(fd).st_size, 0)
        return newer_calls(_last_calls(library, rules)) + program
    finally:
        library.seccomp_release(context)


def action(name: str, number: int) -> int:
    """Return the number of an action, with the errno that goes with it.

    Raises: DocumentError for a word that isn't known.
    """
    found = ACTIONS.get(name)
    if found is None:
        raise DocumentError(
            f"seccomp: {name} is no action", f"one of {_words(ACTIONS)}"
        )
    return found | number if name in WITH_NUMBER else found


def _add(library: Any, context: Any, rules: Filter, rule: CallRule) -> None:
    wanted = action(rule.action, rule.number)
    if wanted == action(rules.default, rules.number):
        return  # libseccomp refuses what happens anyway
    alternatives = [
        (_Comparison * len(one))(*map(_comparison, one))
        for one in _alternatives(rule.conditions)
    ]
    for name in rule.names:
        call = library.seccomp_syscall_resolve_name(name.encode())
        for array in alternatives if call != _NO_SUCH_CALL else ():
            code = library.seccomp_rule_add_array(
                context, wanted, call, len(array), array
            )
            _check(code, f"rule for {name}")


def _last_calls(library: Any, rules: Filter) -> Iterator[Last]:
    if rules.default in _LETS_THROUGH:
        return
    names = [name.encode() for rule in rules.rules for name in rule.names]
    for token in _tokens(library, rules.architectures):
        resolve = partial(library.seccomp_syscall_resolve_name_arch, token)
        # Below zero: it has no number there.
        number = max(map(resolve, names), default=-1)
        if number > 0:
            yield Last(token, number)


def _tokens(library: Any, names: tuple[str, ...]) -> Iterator[int]:
    tokens = (
        library.seccomp_arch_resolve_name(ARCHITECTURES[name].encode())
        for name in names
    )
    yield from dict.fromkeys((library.seccomp_arch_native(), *filter(None, tokens)))


def _alternatives(conditions: tuple[Condition, ...]) -> list[tuple[Condition, ...]]:
    # libseccomp takes one condition for each argument. Where a list has two for the
    # same one, engines mean that either will do.
    arguments = [one.argument for one in conditions]
    if len(arguments) == len(set(arguments)):
        return [conditions]
    return [(one,) for one in conditions]


def _comparison(condition: Condition) -> _Comparison:
    operator = OPERATORS.get(condition.operator)
    if operator is None:
        raise DocumentError(
            f"seccomp: {condition.operator} is no operator",
            f"one of {_words(OPERATORS)}",
        )
    return _Comparison(condition.argument, operator, condition.value, condition.second)


def _set_architectures(library: Any, context: Any, names: tuple[str, ...]) -> None:
    # The machine's own is there from the start; to add it again is EEXIST.
    for name in names:
        if name not in ARCHITECTURES:
            known = _words(ARCHITECTURES)
            raise DocumentError(
                f"seccomp: {name} is no architecture", f"one of {known}"
            )
        token = library.seccomp_arch_resolve_name(ARCHITECTURES[name].encode())
        if token and library.seccomp_arch_exist(context, token) != 0:
            _check(library.seccomp_arch_add(context, token), name)


def _check(code: int, what: str) -> None:
    if code < 0:
        raise DocumentError(
            f"seccomp: {what}: {os.strerror(-code)}",
            "compare the rule with seccomp_rule_add(3)",
            meaning="libseccomp can't turn this into a program",
        )


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise HostError(
            f"seccomp: there is no {_LIBRARY}",
            "apt-get install libseccomp2, or leave linux.seccomp out",
            meaning="a filter is compiled by it",
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_native.restype = ctypes.c_uint32
    for name, *kinds in (
        ("release", ctypes.c_void_p),
        ("syscall_resolve_name_arch", ctypes.c_uint32, ctypes.c_char_p),
        ("attr_set", ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32),
        ("arch_exist", ctypes.c_void_p, ctypes.c_uint32),
        ("arch_add", ctypes.c_void_p, ctypes.c_uint32),
        ("export_bpf", ctypes.c_void_p, ctypes.c_int),
    ):
        getattr(library, f"seccomp_{name}").argtypes = kinds
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]  # fmt: skip
    return library


@contextmanager
def _memory() -> Iterator[int]:
    fd = os.memfd_create("labkit-seccomp")
    try:
        yield fd
    finally:
        os.close(fd)


def _digest(rules: Filter) -> str:
    import hashlib  # only here: it takes milliseconds to load

    return hashlib.blake2b(_VERSION + repr(rules).encode(), digest_size=16).hexdigest()


def _keep(path: str, program: bytes) -> None:
    # Another start may do the same now; both write the same bytes.
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    new = f"{path}.{os.getpid()}"
    with open(new, "wb") as file:
        file.write(program)
    os.rename(new, path)


def _words(table: Any) -> str:
    return ", ".join(table)
