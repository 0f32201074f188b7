"""The command `labkit`: doctor, rootfs, sweep, vm, work.

What a command prints on stdout is its answer; what it is doing goes to stderr. Exit
codes: 0 well; 1 an error of the lab's, or something isn't real here (doctor); 2 a
command line that makes no sense; 130 interrupted.

Each command imports what it needs only when it runs, so that `labkit --help` is quick.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import labkit
from labkit.errors import DocumentError, LabError
from labkit.image import commands as image
from labkit.registry import commands as registry

_VM_VERBS = ("build", "start", "status", "stop", "reset", "clean")
EXIT_FAILED, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


class _NotUnderstood(DocumentError):
    """A command line that makes no sense."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors have the lab's three lines."""

    def error(self, message: str) -> NoReturn:
        raise _NotUnderstood(
            f"{self.prog}: {message}",
            f"{self.prog} --help",
            meaning="this command line can't be understood",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except _NotUnderstood as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except LabError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("labkit: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (labkit doctor | head): nobody is there to be told, and
        # the flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        return _version()
    if arguments.run is None:
        parser.print_help()
        return 0
    code: int = arguments.run(arguments)
    return code


def _parser() -> _Parser:
    parser = _Parser(
        prog="labkit",
        description="A lab that teaches how containers work by building one.",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    _add_doctor(commands)
    _add_rootfs(commands)
    image.add_to(commands)
    registry.add_to(commands)

    sweep = commands.add_parser("sweep", help="remove what a crash left on this host")
    sweep.add_argument("--dry-run", action="store_true", help="only list it")
    sweep.set_defaults(run=_sweep)

    vm = commands.add_parser("vm", help="root in a small real Linux, without privilege")
    vm.add_argument("verb", choices=_VM_VERBS, help="what to do with it")
    vm.set_defaults(run=_vm)

    work = commands.add_parser("work", help="your work in one file, away and back")
    work.add_argument("verb", choices=("save", "restore"), help="nothing gets lost")
    work.add_argument("file", nargs="?", default="my_work.zip", metavar="FILE")
    work.set_defaults(run=_work)
    return parser


def _add_doctor(commands: argparse._SubParsersAction[_Parser]) -> None:
    doctor = commands.add_parser(
        "doctor", help="say what is real on this machine, and what to do about the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print it for programs")
    doctor.add_argument(
        "--tier",
        nargs="?",
        const="",
        metavar="TIER",
        help="say where notebooks run: root, user or vm; a TIER is taken as it is",
    )
    doctor.set_defaults(run=_doctor)


def _add_rootfs(commands: argparse._SubParsersAction[_Parser]) -> None:
    rootfs = commands.add_parser(
        "rootfs", help="make a small root filesystem, and print where it is"
    )
    rootfs.add_argument("name", nargs="?", metavar="NAME", help="alpine")
    rootfs.add_argument("--list", action="store_true", help="list what can be made")
    rootfs.add_argument("--remove", action="store_true", help="remove it instead")
    rootfs.set_defaults(run=_rootfs)


def _doctor(arguments: argparse.Namespace) -> int:
    from labkit.doctor import examine
    from labkit.host import probe

    if arguments.tier is not None:
        return _tier(arguments.tier)
    report = examine(probe())
    if arguments.json:
        import json

        print(json.dumps(report.to_json(), indent=2))
    else:
        print(report.text())
    return report.exit_code


def _tier(wanted: str) -> int:
    from labkit.doctor import Tier, tier
    from labkit.host import probe

    if wanted and wanted not in list(Tier):
        raise _NotUnderstood(
            f"TIER={wanted}: there is no such tier",
            f"one of {', '.join(Tier)}, or none: the doctor then chooses",
            meaning="the tier says where the notebooks run",
        )
    chosen = Tier(wanted) if wanted else tier(probe())
    _say(chosen.sentence)
    print(chosen)
    return 0


def _rootfs(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list_roots()
    if arguments.name is None:
        raise _NotUnderstood(
            "labkit rootfs: which one?",
            "labkit rootfs alpine; labkit rootfs --list shows all",
            meaning="a name is missing",
        )
    return (
        _remove_root(arguments.name) if arguments.remove else _make_root(arguments.name)
    )


def _make_root(name: str) -> int:
    from labkit.rootfs import rootfs

    with warnings.catch_warnings(record=True) as damage:
        warnings.simplefilter("always")
        root = rootfs(name, _say)
    for warning in damage:
        _say(str(warning.message))
    _say(f"{root.name}: {root.about}")
    print(root.path)
    return 0


def _remove_root(name: str) -> int:
    from labkit.rootfs import find

    root = find(name)
    _say(f"removing {root.path}" if root.made else f"{root.path} isn't there")
    root.remove()
    return 0


def _list_roots() -> int:
    from labkit.rootfs import available

    for root in available():
        made = root.path if root.made else "not made yet"
        print(f"{root.name}  {made}  ({root.about})")
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from labkit.sweep import sweep

    print(sweep(dry_run=arguments.dry_run).text())
    return 0


def _vm(arguments: argparse.Namespace) -> int:
    from labkit.vm import commands

    if arguments.verb == "status":
        print(*commands.status(), sep="\n")
    else:
        getattr(commands, arguments.verb)(_say)
    return 0


def _work(arguments: argparse.Namespace) -> int:
    from labkit.course import parcel

    # A file is where the terminal is, and not the learner's folder.
    print(getattr(parcel, arguments.verb)(os.path.abspath(arguments.file)))
    return 0


def _version() -> int:
    print(f"labkit {labkit.__version__}")
    return 0


def _say(line: str) -> None:
    print(f"labkit: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
