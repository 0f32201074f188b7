"""How a process becomes a program: the search along PATH, and the environment."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from labkit.errors import SyscallError
from labkit.linux.syscalls import Linux

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "TERM": "xterm",
    }
)
"""What a program inside finds in its environment, instead of the notebook's."""

_LOOK_ON = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


def become(linux: Linux, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Replace this process by a program, looked for along PATH as execvp(3) does.

    Linux itself knows no PATH: each try is an execve of its own.

    Args: argv [argv[0] without "/" is looked for]; env [the program's environment].
    Raises: SyscallError with the errno of the last try.
    Needs: nothing.
    Kernel: execve(2); exec(3) for the search.
    """
    refused: SyscallError | None = None
    for path in _candidates(argv[0], env):
        try:
            linux.execve(path, argv, env)
        except SyscallError as error:
            if error.errno not in _LOOK_ON:
                raise
            # EACCES says more than the ENOENT of a later directory.
            refused = refused if refused and refused.errno == errno.EACCES else error
    if refused is not None:
        raise refused


def _candidates(name: str, env: Mapping[str, str]) -> list[str]:
    if "/" in name:
        return [name]
    return [f"{folder or '.'}/{name}" for folder in env.get("PATH", "/bin").split(":")]
