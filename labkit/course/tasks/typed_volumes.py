"""Exercise 14, second part: what -v says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from labkit.course.attempt import ask
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw

Typed = tuple[str, str, bool]
ReadTyped = Callable[[str], Typed]


def check_read_typed(read_typed: ReadTyped, case: Case) -> Saw:
    """Read every form in which people write it."""
    for text, wanted, question in _typed(case):
        found = ask(read_typed, text)
        if not isinstance(found, tuple) or len(found) != 3:
            raise Failed(f"it returned {found!r}: a tuple of three was asked for")
        if found != wanted:
            raise Failed(f"-v {text} became {found!r}. {question}")
    return Saw("source, place and read-only, in six forms")


def _typed(case: Case) -> Iterator[tuple[str, Typed, str]]:
    name, place = case.seed.name(), f"/srv/{case.seed.name()}"
    yield f"{name}:{place}", (name, place, False), "What is before the colon?"
    yield f"/{name}:{place}:ro", (f"/{name}", place, True), "What do two letters say?"
    yield (
        f"/{name}:{place}:rw",
        (f"/{name}", place, False),
        "Not every third part is ro",
    )
    yield (
        f"/{name}:{place}:z,ro",
        (f"/{name}", place, True),
        "There may be several words behind the last colon, with commas between them",
    )
    yield (
        place,
        ("", place, False),
        "One part alone is the place inside; the volume has no name",
    )
    yield (
        f"/{name}-ro:{place}",
        (f"/{name}-ro", place, False),
        "A folder may be called anything",
    )


READ_TYPED = Task(
    id="14.2",
    sentence="Read what people type behind -v.",
    points=2,
    level=Level.EASY,
    size="about five lines",
    question=Question(
        "docker run -v /data alpine: which folder of the host's does it show?",
        ("/data", "none: it is a new volume without a name", "it is an error"),
    ),
    hints=(
        "Write the six forms of the table on paper, one below the other. Where are the "
        "parts that are always there?",
        'text.split(":") gives one, two or three parts.',
        'With one part: "", parts[0], False. Else the first two, and whether "ro" is '
        'one of the words in parts[2].split(","), if there is a third.',
    ),
    functions=("read_typed",),
    check=check_read_typed,
    mistakes=(
        Mistake(
            "takes a single part for a source",
            """
def read_typed(text):
    source, _, rest = text.partition(":")
    target, _, words = rest.partition(":")
    return source, target, "ro" in words.split(",")
""",
            "the volume has no name",
        ),
        Mistake(
            "looks for one word only",
            """
def read_typed(text):
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], False
    return parts[0], parts[1], parts[2:] == ["ro"]
""",
            "several words behind the last colon",
        ),
        Mistake(
            "takes every third part for read-only",
            """
def read_typed(text):
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], False
    return parts[0], parts[1], len(parts) == 3
""",
            "Not every third part",
        ),
        Mistake(
            "looks for ro anywhere",
            """
def read_typed(text):
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], False
    return parts[0], parts[1], "ro" in text
""",
            "may be called anything",
        ),
        Mistake(
            "returns a list",
            """
def read_typed(text):
    return text.split(":")
""",
            "a tuple of three",
        ),
    ),
)
