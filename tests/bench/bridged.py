"""python -m tests.bench.bridged: a start with a bridge, beside runc without a network.

Each round starts a container with a card, an address, a way out and a name server, from
a warm fork server; the same with nobody to talk to; and the others.
What is timed is the start to the end of /bin/true; the lease is written before it. The
lab makes a bridge on this machine for that, and takes it away.
"""

from __future__ import annotations

import argparse
import time

from labkit.host import probe
from labkit.network import client
from labkit.network.attachment import Wish, attach
from labkit.values import replace
from tests.bench.__main__ import Seconds, a_place, others, table
from tests.bench.peers import PREFIX
from tests.bench.served import Served, served

NAME = f"{PREFIX}-bridged"


def main() -> int:
    """Measure, print the table, leave nothing."""
    parser = argparse.ArgumentParser("bridged", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    taken: Seconds = {}
    with a_place() as folder, others(folder) as run, served(folder, probe()) as one:
        for _ in range(rounds):
            turn = {"with a bridge": with_a_bridge(one), **one.round()}
            turn |= {name: other() for name, other in run.items()}
            for name, seconds in turn.items():
                taken.setdefault(name, []).append(seconds)
        # Its process takes the bridge away, a moment after the last container.
        while client.answers():
            time.sleep(0.1)
    print(table(taken, rounds))
    return 0


def with_a_bridge(one: Served) -> float:
    """Start one on the network that is always there; return the seconds to its end."""
    attachment = attach(NAME, Wish())
    try:
        request = one.request(NAME)
        request = replace(request, plan=attachment.wire(request.plan))
        begin = time.perf_counter()
        box = one.server.start(request)
        ending = box.wait()
        seconds = time.perf_counter() - begin
        box.wait_until_gone()
    finally:
        attachment.release()
    if ending is None or ending.code != 0:
        raise RuntimeError(f"the container ended with {ending}")
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
