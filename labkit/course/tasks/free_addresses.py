"""Exercise 13, second part: which address the next container gets."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from labkit.course.attempt import ask
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw
from labkit.network.subnets import SMALLEST

FreeAddress = Callable[[str, list[str]], str | None]


def check_free_address(free_address: FreeAddress, case: Case) -> Saw:
    """Ask for one in an empty subnet, one with a gap, a full one, a larger one."""
    second = case.seed.number(100, 199)
    small = ipaddress.ip_network(f"10.{second}.{case.seed.number(1, 99)}.8/29")
    large = ipaddress.ip_network(f"10.{second}.{case.seed.number(100, 120) * 2}.0/23")
    gateway, *others = map(str, small.hosts())
    gap = case.seed.number(1, 3)
    _must_be(free_address, str(small), [], others[0])
    taken = case.seed.shuffled([one for one in others if one != others[gap]])
    _must_be(free_address, str(small), taken, others[gap])
    _must_be(free_address, str(small), case.seed.shuffled(others), None)
    many = [str(address) for address in list(large.hosts())[1:300]]
    _must_be(free_address, str(large), many, str(large[301]))
    smallest = ipaddress.ip_network(f"10.{second}.99.4/{SMALLEST}")
    _must_be(free_address, str(smallest), [], str(smallest[2]))
    return Saw("the first that is free, in five subnets; and None when all are taken")


def _must_be(
    free_address: FreeAddress, subnet: str, taken: list[str], wanted: str | None
) -> None:
    found = ask(free_address, subnet, list(taken))
    if found is not None and not isinstance(found, str):
        raise Failed(f"it returned {found!r}: a text was asked for, or None")
    if found == wanted:
        return
    network = ipaddress.ip_network(subnet)
    roles = {
        str(network.network_address): "which means the subnet itself",
        str(network.broadcast_address): "which means everybody in it at once",
        str(network[1]): "which the gateway has",
    }
    if found in roles:
        raise Failed(f"in {subnet} it gave {found}, {roles[found]}")
    if found in taken:
        raise Failed(f"in {subnet} it gave {found}, and a container has that already")
    if wanted is None:
        raise Failed(f"{subnet} is full, and it gave {found}")
    raise Failed(
        f"in {subnet}, with {len(taken)} taken, {wanted} is the first free one"
    )


FREE_ADDRESS = Task(
    id="13.2",
    sentence="Say which address of a subnet the next container gets.",
    points=2,
    level=Level.EASY,
    size="about five lines",
    question=Question(
        "A subnet /29 has eight addresses. How many containers fit into it?",
        ("8", "6", "5"),
    ),
    hints=(
        "Which three addresses of a subnet are nobody's, or somebody else's? The "
        "chapter's br0 had one of them.",
        "The module ipaddress of Python knows subnets: ip_network(subnet).hosts().",
        "gateway, *others = ipaddress.ip_network(subnet).hosts(); then the first of "
        "others whose str() isn't in taken.",
    ),
    functions=("free_address",),
    check=check_free_address,
    mistakes=(
        Mistake(
            "gives away the gateway's",
            """
def free_address(subnet, taken):
    for address in ipaddress.ip_network(subnet).hosts():
        if str(address) not in taken:
            return str(address)
""",
            "which the gateway has",
        ),
        Mistake(
            "begins with the subnet's own",
            """
def free_address(subnet, taken):
    for address in ipaddress.ip_network(subnet):
        if str(address) not in taken:
            return str(address)
""",
            "the subnet itself",
        ),
        Mistake(
            "counts what is taken",
            """
def free_address(subnet, taken):
    return str(ipaddress.ip_network(subnet)[2 + len(taken)])
""",
            "a container has that already",
        ),
        Mistake(
            "ends with everybody's",
            """
def free_address(subnet, taken):
    for address in list(ipaddress.ip_network(subnet))[2:]:
        if str(address) not in taken:
            return str(address)
""",
            "everybody in it at once",
        ),
        Mistake(
            "returns no text",
            """
def free_address(subnet, taken):
    gateway, *others = ipaddress.ip_network(subnet).hosts()
    for address in others:
        if str(address) not in taken:
            return address
""",
            "a text was asked for",
        ),
    ),
)
