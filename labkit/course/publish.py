"""python -m labkit.course.publish: what is generated is made again. For authors.

publish                 exercises from solutions; chapters and solutions run, saved
publish notebooks/01*   only these
publish --exercises     only the exercises: fast
publish --check         change nothing; 1 where an exercise isn't its solution's
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit.course import execution
from labkit.course.skeleton import skeleton_of
from labkit.course.solutions import project
from labkit.errors import LabError

__all__ = ["exercises", "main", "make_exercises", "run", "skeleton_of", "stale"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.check:
            return _check()
        make_exercises()
        if not asked.exercises:
            run(asked.notebooks or chapters_and_solutions())
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def exercises() -> dict[Path, Path]:
    """Return each exercise's path, and its solution's."""
    folder = project() / "exercises"
    return {folder / solution.name: solution for solution in _in("solutions")}


def chapters_and_solutions() -> list[Path]:
    """Return the notebooks that are kept with their outputs."""
    return [*_in("notebooks"), *_in("solutions")]


def stale() -> list[Path]:
    """Return the exercises that are not what their solutions make of them."""
    made = exercises()
    wrong = [
        path
        for path, solution in made.items()
        if not path.exists() or path.read_text() != skeleton_of(solution)
    ]
    return [*wrong, *(path for path in _in("exercises") if path not in made)]


def make_exercises() -> None:
    """Write every exercise that isn't what its solution makes of it."""
    for path in stale():
        solution = exercises().get(path)
        if solution is None:
            print(f"{path.name}: removed, it has no solution")
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(skeleton_of(solution))
        print(f"{path.relative_to(project())}: made from its solution")


def run(notebooks: Sequence[Path]) -> None:
    """Run notebooks and save their outputs in them."""
    for path in notebooks:
        print(f"{path.name}: running", flush=True)
        text = execution.run(path)
        if text != path.read_text():
            path.write_text(text)
            print(f"{path.name}: saved")


def _in(folder: str) -> list[Path]:
    return sorted((project() / folder).glob("*.ipynb"))


def _check() -> int:
    for path in stale():
        print(f"{path.relative_to(project())}: not what its solution makes of it")
    if stale():
        print("make them: python -m labkit.course.publish --exercises")
    return 1 if stale() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("publish", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--exercises", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
