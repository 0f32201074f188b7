"""The program of a container: what it runs as, and what runs before it. Chapter 09.

running     FindProgram, RunProgram        found while somebody still listens
init        RunUnderInit                   below a first process that reaps
console     OpenConsole                    with a terminal
hooks       RunHooks, RunHooksInside       after the host's own programs
accounts    names of users, by the container's own files
"""

from labkit.primitives.program.running import FindProgram, RunProgram

__all__ = ["FindProgram", "RunProgram"]
