"""The thread behind a live view."""

from __future__ import annotations

import gc
import threading
import time

from labkit.widgets.sampler import Sampler


class Looked:
    """Something to look at, as a view is."""

    def __init__(self, last: int = 10**9) -> None:
        self.seen, self.awake, self.last = 0, True, last
        self.changed = threading.Condition()

    def watched(self) -> bool:
        return self.awake

    def sample(self) -> bool:
        with self.changed:
            self.seen += 1
            self.changed.notify_all()
        return self.seen < self.last

    def wait(self, more: int) -> bool:
        """Wait until so many further samples were taken."""
        with self.changed:
            goal = self.seen + more
            return self.changed.wait_for(lambda: self.seen >= goal, timeout=5)


def ended(sampler: Sampler) -> bool:
    """Wait for a sampler's end."""
    deadline = time.monotonic() + 5
    while sampler.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    return not sampler.alive


def test_it_samples_while_somebody_looks() -> None:
    looked = Looked()
    sampler = Sampler(looked, "test", 200)
    sampler.look()
    assert looked.wait(3)
    sampler.stop()
    assert ended(sampler)


def test_it_ends_when_there_is_nothing_left() -> None:
    looked = Looked(last=2)
    sampler = Sampler(looked, "test", 200)
    sampler.look()
    assert ended(sampler)
    assert looked.seen == 2


def test_it_sleeps_while_nobody_looks_and_wakes_at_once() -> None:
    looked = Looked()
    sampler = Sampler(looked, "test", 200)
    sampler.look()
    assert looked.wait(2)
    looked.awake = False
    looked.wait(1)
    before = looked.seen
    time.sleep(0.1)
    assert looked.seen == before
    looked.awake = True
    sampler.look()
    assert looked.wait(1)
    sampler.stop()
    assert ended(sampler)


def test_a_forgotten_view_ends_it() -> None:
    looked = Looked()
    sampler = Sampler(looked, "test", 200)
    sampler.look()
    assert looked.wait(1)
    del looked
    gc.collect()
    assert ended(sampler)


def test_stop_may_be_called_twice_and_before_the_start() -> None:
    sampler = Sampler(Looked(), "test", 1)
    sampler.stop()
    sampler.stop()
    assert not sampler.alive
