"""Exercise 08, third part: the number outside of a number inside."""

from __future__ import annotations

from collections.abc import Callable

from labkit.course.attempt import ask
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import ContainerId, HostId
from labkit.plan import Plan, step
from labkit.primitives.idmap import WriteIdMaps
from labkit.primitives.ids import IdMapping, ids_of
from labkit.primitives.namespaces import Unshare

Row = tuple[int, int, int]
WhoseId = Callable[[list[Row], int], int | None]


def check_whose_id(whose_id: WhoseId, case: Case) -> Saw:
    """Two ranges with a gap between them; what Linux says is what is right."""
    rows = _rows(case)
    (first, _, count), (second, _, more) = rows
    for inside in (first, first + count - 1, second, second + more - 1):
        outside = _as_linux_says(rows, inside)
        got = ask(whose_id, rows, inside)
        if got == inside:
            raise Failed("it returned the number inside: the second column is outside")
        if got != outside:
            raise Failed(
                f"with the rows {rows}, {inside} inside is {outside} outside, says "
                f"Linux; you returned {got!r}"
            )
    for nobody in (first + count, second + more):
        got = ask(whose_id, rows, nobody)
        if got is not None:
            raise Failed(
                f"with the rows {rows}, nobody is {nobody}; you returned {got!r}. How "
                "long is a range?"
            )
    return Saw("every number inside is somebody outside, or nobody, as Linux says")


def _rows(case: Case) -> list[Row]:
    number = case.seed.number
    count, more = number(5, 50), number(5, 50)
    second = count + number(5, 900)
    return [
        (0, number(100_000, 200_000), count),
        (second, number(300_000, 400_000), more),
    ]


def _as_linux_says(rows: list[Row], inside: int) -> int:
    maps = tuple(IdMapping(ContainerId(a), HostId(b), n) for a, b, n in rows)
    become = step(_become, inside)
    with Plan(Unshare(CLONE.NEWUSER), WriteIdMaps(maps, maps), become).fork() as child:
        child.run()
        return ids_of(child.pid)[0]


def _become(linux: Linux, uid: int) -> None:
    linux.setresuid(uid, uid, uid)


WHOSE_ID = Task(
    id="08.3",
    sentence="Which number outside is a number inside? Read a map of ids.",
    points=2,
    level=Level.EASY,
    size="about four lines",
    question=Question(
        "A container's ids are mapped as 0 100000 65536. Who is user 33 inside?",
        ("33", "100033", "165569"),
    ),
    hints=(
        "A row has three numbers: the first inside, the first outside, how many.",
        "A number is in a row if it is at least first, and less than first + count.",
        "for first, outside, count in rows: if first <= uid < first + count, return "
        "uid - first + outside. After the loop, None.",
    ),
    functions=("whose_id",),
    check=check_whose_id,
    needs=("root",),
    mistakes=(
        Mistake(
            "looks at the first row only",
            """
def whose_id(rows, uid):
    first, outside, count = rows[0]
    return uid - first + outside if first <= uid < first + count else None
""",
            "outside, says Linux",
        ),
        Mistake(
            "takes a range for one longer than it is",
            """
def whose_id(rows, uid):
    for first, outside, count in rows:
        if first <= uid <= first + count:
            return uid - first + outside
""",
            "How long is a range?",
        ),
        Mistake(
            "returns the number itself",
            """
def whose_id(rows, uid):
    return uid
""",
            "the second column is outside",
        ),
    ),
)
