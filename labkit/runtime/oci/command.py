"""labkit-oci [global options] VERB [options] CONTAINER: one verb, one exit code.

Exit codes: 0 well; 1 an error; `run` and `exec` have their program's own. The error is
written to stderr and, with --log, to that file: podman takes it from there, and looks
in its text for what it means.

Reading order: program, main, VERBS, Call.
"""

from __future__ import annotations

import os
import sys

from labkit.errors import DocumentError, LabError
from labkit.runtime.oci.arguments import Given, read
from labkit.runtime.oci.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION = "0.1.0"
SPECIFICATION = "1.2.0"

PAGE = """labkit-oci: makes and runs containers as the OCI runtime specification says

usage: labkit-oci [global options] VERB [options] [CONTAINER] [words]

  --root DIR            where the state of containers is kept
  --log FILE            append errors to this file, too
  --log-format FORMAT   text or json
  --debug               errors with the place in this program where they happened
  --systemd-cgroup      refused: this runtime makes its cgroups itself
  --cgroup-manager NAME cgroupfs; every other one is refused
  --rootless MODE       auto, true or false: accepted; what is possible is found out
  -h, --help            print this
  -v, --version         print the version

"""

# verb -> (module, function, words after which the rest is a program's own)
VERBS: dict[str, tuple[str, str, int | None]] = {
    "create": ("create", "create", None),
    "run": ("create", "run", None),
    "start": ("start", "start", None),
    "state": ("listing", "state", None),
    "kill": ("ending", "kill", None),
    "delete": ("ending", "delete", None),
    "exec": ("enter", "execute", 1),
    "pause": ("freezer", "pause", None),
    "resume": ("freezer", "resume", None),
    "list": ("listing", "list_all", None),
    "ps": ("processes", "ps", 1),
    "update": ("changing", "update", None),
    "events": ("events", "events", None),
    "spec": ("template", "spec", None),
    "features": ("features", "features", None),
    "install": ("script", "install", None),
}

# What becomes a container's process must be nothing of the host's (CVE-2019-5736).
_ENTERING = frozenset(("create", "run", "exec"))


class Call:
    """A verb as it was called: what was given, and where the state is."""

    __slots__ = ("given", "log", "root", "verb")

    def __init__(self, verb: str, given: Given, root: str, log: Log) -> None:
        self.verb, self.given, self.root, self.log = verb, given, root, log


def program() -> int:
    """Be the program labkit-oci: main, in a process that may enter containers."""
    if _ENTERING.intersection(sys.argv[1:]):
        from labkit.runtime.sealed import run_from_a_sealed_copy

        run_from_a_sealed_copy()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    log = Log()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), log)
    except LabError as error:
        log.error(error)
        return 255 if log.verb == "exec" else 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str], log: Log) -> int:
    given = read(PAGE, arguments, words=1)
    log.open(given)
    if given.on("version"):
        return _version()
    if given.on("help") or not given.words or given.words[0] == "help":
        sys.stdout.write(PAGE + "verbs: " + ", ".join(VERBS) + "\n")
        return 0 if given.on("help") or given.words else 1
    _refuse_other_cgroups(given)
    verb, *rest = given.words
    if verb not in VERBS:
        raise DocumentError(
            f"No help topic for '{verb}'",
            "labkit-oci --help: it lists the verbs",
            meaning="there is no such verb",
        )
    log.verb = verb
    return _perform(verb, rest, given.text("root") or default_root(), log)


def _perform(verb: str, arguments: list[str], root: str, log: Log) -> int:
    module, name, words = VERBS[verb]
    function: Callable[[Call], int | None] = getattr(_module(module), name)
    page = (function.__doc__ or "") + "\n      -h, --help  print this"
    given = read(page, arguments, words=words)
    if given.on("help"):
        sys.stdout.write(page + "\n")
        return 0
    return function(Call(verb, given, root, log)) or 0


def default_root() -> str:
    """Return where the state of containers is kept if --root doesn't say.

    It is lost with the processes when the machine starts again, as it should be.
    """
    if os.access("/run", os.W_OK):
        return "/run/labkit-oci"
    above = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    return f"{above}/labkit-oci"


def _module(name: str) -> object:
    # The function of the statement: importlib alone would cost a millisecond.
    return __import__(f"{__package__}.{name}", fromlist=[name])


def _refuse_other_cgroups(given: Given) -> None:
    who = given.text("cgroup-manager", "cgroupfs")
    if given.on("systemd-cgroup") or who != "cgroupfs":
        raise DocumentError(
            "cgroups through systemd: this runtime can't",
            "podman --cgroup-manager cgroupfs",
            meaning="it makes directories below /sys/fs/cgroup itself",
        )


def _version() -> int:
    sys.stdout.write(f"labkit-oci version {VERSION}\nspec: {SPECIFICATION}\n")
    return 0


if __name__ == "__main__":
    sys.exit(program())
