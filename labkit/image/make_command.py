"""The command `labkit images make`."""

from __future__ import annotations

import argparse
import sys


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `make` to the commands that begin with `labkit images`."""
    make = commands.add_parser(
        "make", help="make the lab's own images, with no internet but a package mirror"
    )
    make.add_argument("names", nargs="*", metavar="NAME", help="nginx:1.13; else all")
    make.add_argument(
        "--replace", action="store_true", help="also images that the lab didn't make"
    )
    make.set_defaults(run=_make)


def _make(arguments: argparse.Namespace) -> int:
    from labkit.image.made import RECIPES, make
    from labkit.image.store import Store

    names = arguments.names or [recipe.name for recipe in RECIPES]
    for made in make(names, Store.default(), _say, replace=arguments.replace):
        _say(made.line())
        print(f"{made.reference}@{made.descriptor.digest}")
    return 0


def _say(line: str) -> None:
    print(f"labkit: {line}", file=sys.stderr, flush=True)
