"""Exercise 13: a card gets an address. The other task is in `free_addresses`.

The card is one end of a cable whose two ends lie in the learner's own new namespace, so
nothing of the host's is touched, and an ordinary user may do it as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

from labkit.course.attempt import Run, as_root, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import free_addresses
from labkit.course.verdict import Saw
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.network.links import AddVeth, LinkUp
from labkit.network.topology import routes
from labkit.plan import Plan
from labkit.primitives.namespaces import Unshare

GiveAddress = Callable[[Linux, str, str, str], None]

_LENGTHS = (20, 22, 26)  # not 24: who writes that into the function is found out


def check_give_address(give_address: GiveAddress, case: Case) -> Saw:
    """Two cards with other names and other subnets, one after the other."""
    for length in case.seed.shuffled(_LENGTHS)[:2]:
        link = f"eth{case.seed.number(1, 9)}"
        start = f"10.{case.seed.number(100, 199)}.{case.seed.number(0, 15) * 16}.0"
        subnet = ipaddress.ip_network(f"{start}/{length}", strict=False)
        gateway, address = str(subnet[1]), f"{subnet[case.seed.number(9, 40)]}/{length}"
        rehearsed = rehearse(give_address, link, address, gateway)
        rehearsed.must(
            "rtnetlink" in rehearsed.names,
            "no message went to Linux: which call sends one?",
        )
        own = Plan(as_root(case.host), Unshare(CLONE.NEWNET))
        first = own + Plan(AddVeth(link, "far"), LinkUp("far"))
        with attempt(give_address, link, address, gateway, first=first) as run:
            _must_have(run, link, address, gateway)
    return run.saw("two cards are on, each with its address, its subnet and a way out")


def _must_have(run: Run, link: str, address: str, gateway: str) -> None:
    table = Path("/proc", str(run.pid), "net")
    local = table.joinpath("fib_trie").read_text()
    ways = {route.destination: route for route in routes(table / "route")}
    own, _, length = address.partition("/")
    run.must(f"|-- {own}\n" in local, f"nobody in there has the address {own}")
    subnet = str(ipaddress.ip_network(address, strict=False))
    run.must(
        ways,
        "there is not one route: to its neighbours a card has one while it is on",
    )
    run.must(
        subnet in ways,
        f"there is no route to {subnet}, where the neighbours are: does Linux know "
        f"that {length} bits of the address are the subnet's?",
    )
    run.must(
        "|-- 127.0.0.1\n" in local,
        "the machine can't talk to itself: which card is off from the beginning?",
    )
    run.must(
        "default" in ways, "there is no route to anybody else: ping says so at once"
    )
    run.must(
        (ways["default"].link, ways["default"].gateway) == (link, gateway),
        f"the way out doesn't lead through {gateway}",
    )


GIVE_ADDRESS = Task(
    id="13.1",
    sentence="Give your runtime's container an address, its neighbours and a way out.",
    points=3,
    level=Level.MEDIUM,
    size="about five lines",
    question=Question(
        "You ask for the default route first, and switch the card on after it. "
        "What does Linux say?",
        ("nothing", "the network is unreachable", "there is no such card"),
    ),
    hints=(
        "Look at what `on(...)` was given in the chapter, for Anna and for the route: "
        "five messages, and lo is one of them.",
        'linux.rtnetlink("link set", link="lo", state="up") switches a card on. The '
        'others are "addr add" and "route add"; lab.source(AddAddress) shows one.',
        'own, _, length = address.partition("/"), then "addr add" with link, '
        'address=own, prefixlen=int(length); the card up; "route add" with '
        'dst="default", gateway=gateway.',
    ),
    functions=("give_address",),
    check=check_give_address,
    needs=("namespaces",),
    kept=True,
    mistakes=(
        Mistake(
            "forgets the loopback",
            """
def give_address(linux, link, address, gateway):
    own, _, length = address.partition("/")
    linux.rtnetlink("addr add", link=link, address=own, prefixlen=int(length))
    linux.rtnetlink("link set", link=link, state="up")
    linux.rtnetlink("route add", dst="default", gateway=gateway)
""",
            "can't talk to itself",
        ),
        Mistake(
            "leaves the card off",
            """
def give_address(linux, link, address, gateway):
    own, _, length = address.partition("/")
    linux.rtnetlink("link set", link="lo", state="up")
    linux.rtnetlink("addr add", link=link, address=own, prefixlen=int(length))
""",
            "while it is on",
        ),
        Mistake(
            "asks for the route before the card is on",
            """
def give_address(linux, link, address, gateway):
    own, _, length = address.partition("/")
    linux.rtnetlink("link set", link="lo", state="up")
    linux.rtnetlink("addr add", link=link, address=own, prefixlen=int(length))
    linux.rtnetlink("route add", dst="default", gateway=gateway)
    linux.rtnetlink("link set", link=link, state="up")
""",
            "ENETUNREACH",
        ),
        Mistake(
            "forgets the way out",
            """
def give_address(linux, link, address, gateway):
    own, _, length = address.partition("/")
    linux.rtnetlink("link set", link="lo", state="up")
    linux.rtnetlink("addr add", link=link, address=own, prefixlen=int(length))
    linux.rtnetlink("link set", link=link, state="up")
""",
            "no route to anybody else",
        ),
        Mistake(
            "takes every subnet for a /24",
            """
def give_address(linux, link, address, gateway):
    own, _, length = address.partition("/")
    linux.rtnetlink("link set", link="lo", state="up")
    linux.rtnetlink("addr add", link=link, address=own, prefixlen=24)
    linux.rtnetlink("link set", link=link, state="up")
""",
            "bits of the address are the subnet's",
        ),
    ),
)

EXERCISE = Exercise(
    "13",
    "Exercise 13: Networks",
    "Give a container its address, then say which address is the next one's.",
    "13_networks.ipynb",
    (GIVE_ADDRESS, free_addresses.FREE_ADDRESS),
)
