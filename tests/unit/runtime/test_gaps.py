"""Gaps between Python's objects are filled, and functions' code is moved together."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: this one has threads, and its gaps are pytest's business.
COUNT_PAGES = """
import json, sys
from labkit.runtime.gaps import fill_gaps

def pages_of_new_objects():
    made = [bytes(size) for size in range(1, 470, 16) for _ in range(8)]
    return len({id(one) // 4096 for one in made})

before = pages_of_new_objects()
held = fill_gaps()
print(before, pages_of_new_objects())
"""
MOVE = """
import gc, json
from labkit.runtime.gaps import fill_gaps, put_side_by_side

def one(): return two()
def two(): return json.dumps({"a": [1]})
def three(): return 3

before = {f: f.__code__ for f in (one, two, three)}
held = fill_gaps()
put_side_by_side(one)
moved = [f.__name__ for f in before if f.__code__ is not before[f]]
print(moved, one(), json.dumps.__code__.co_name)
"""


def said_by(program: str) -> str:
    """Run a program in a Python of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_is_made_afterwards_lies_in_fewer_pages() -> None:
    before, after = map(int, said_by(COUNT_PAGES).split())
    assert after < before


def test_the_code_that_a_run_calls_is_moved_and_does_what_it_did() -> None:
    assert said_by(MOVE) == """['one', 'two'] {"a": [1]} dumps"""
