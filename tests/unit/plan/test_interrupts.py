"""A Ctrl-C while a message is being noted comes after it, and is not lost."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from labkit.plan.interrupts import uninterrupted


def interrupt() -> None:
    """Do what Jupyter's button and Ctrl-C do."""
    os.kill(os.getpid(), signal.SIGINT)


def test_it_is_put_off_to_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt()
        done.append("the rest of the block")
    assert done == ["the rest of the block"]


def test_blocks_within_blocks_put_it_off_to_the_end_of_the_outermost() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        with uninterrupted():
            interrupt()
        done.append("after the inner block")
    assert done == ["after the inner block"]


def test_without_one_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_the_block_comes_out_of_it() -> None:
    with pytest.raises(ValueError, match="mine"), uninterrupted():
        raise ValueError("mine")


def test_other_threads_have_no_interrupts_and_need_no_block() -> None:
    seen = []

    def work() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
