"""Exercise 11, second part: a name as people type it becomes a name in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from labkit.course.attempt import ask
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw
from labkit.image.digest import Digest
from labkit.image.reference import Reference

FullName = Callable[[str], str]


def check_full_name(full_name: FullName, case: Case) -> Saw:
    """Names of every form, each with what every client makes of it."""
    for name, question in _names(case):
        found, wanted = ask(full_name, name), str(Reference.parse(name))
        if found != wanted:
            raise Failed(f"{name} became {str(found)[:120]!r}. {question}")
    return Saw("eight names of all forms became what every client makes of them")


def _names(case: Case) -> Iterator[tuple[str, str]]:
    app, team = case.seed.name(), case.seed.name()
    digest = Digest.of(case.seed.secret().encode())
    yield app, "What stands before the name, and which tag is meant by none?"
    yield f"{app}:1.13", "The tag was there already"
    yield (
        f"{team}/{app}",
        "Is the first part a registry? It has no dot and no colon; and library/ is for "
        "names of one part",
    )
    port = case.seed.number(5000, 5999)
    yield f"localhost:{port}/{app}", "Which colon belongs to a tag?"
    yield f"localhost:{port}/{app}:2", "Which colon belongs to a tag?"
    yield f"localhost/{app}", "localhost is a registry without a dot or a colon"
    yield f"registry.example.com/{team}/{app}:1.2.3", "Nothing was missing"
    yield f"{app}@{digest}", "A digest says exactly which one. What would a tag add?"


FULL_NAME = Task(
    id="11.2",
    sentence="Say in full what a name means: registry, repository, tag or digest.",
    points=2,
    level=Level.EASY,
    size="about ten lines",
    question=Question(
        "docker pull me/app: from where does it come?",
        (
            "a machine named me",
            "docker.io, from somebody who is called me",
            "your disk",
        ),
    ),
    hints=(
        "Make a list of names on paper, with and without a port, with a tag, with a "
        "digest. Which character decides about which part?",
        "partition and rpartition of str take a name apart. Begin at the end: the "
        "digest, then the tag, which stands after the last slash.",
        'name, at, digest = name.partition("@"). The first part is a registry when it '
        'has "." or ":" or is "localhost"; else put docker.io/ before it, and library/ '
        "if there is no slash.",
    ),
    functions=("full_name",),
    check=check_full_name,
    mistakes=(
        Mistake(
            "takes a port for a tag",
            """
def full_name(name):
    name, at, digest = name.partition("@")
    name, _, tag = name.partition(":")
    first = name.partition("/")[0]
    if "." not in first and first != "localhost":
        name = f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
    return f"{name}@{digest}" if at else f"{name}:{tag or 'latest'}"
""",
            "Which colon belongs",
        ),
        Mistake(
            "forgets library",
            """
def full_name(name):
    if ":" not in name:
        name += ":latest"
    return f"docker.io/{name}"
""",
            "What stands before the name",
        ),
        Mistake(
            "takes every first part for a registry",
            """
def full_name(name):
    name, at, digest = name.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{head}{slash}{last}"
    if not slash:
        name = f"docker.io/library/{name}"
    return f"{name}@{digest}" if at else f"{name}:{tag or 'latest'}"
""",
            "Is the first part a registry?",
        ),
        Mistake(
            "puts latest behind a digest",
            """
def full_name(name):
    head, slash, last = name.rpartition("/")
    if ":" not in last.partition("@")[0]:
        last += ":latest"
    first = head.partition("/")[0]
    if not any(c in first for c in ".:") and first != "localhost":
        head = f"docker.io/{head}" if head else "docker.io/library"
    return f"{head}/{last}"
""",
            "What would a tag add?",
        ),
        Mistake(
            "knows a registry by its dot only",
            """
def full_name(name):
    name, at, digest = name.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{head}{slash}{last}"
    first = name.partition("/")[0]
    if not any(c in first for c in ".:"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    return f"{name}@{digest}" if at else f"{name}:{tag or 'latest'}"
""",
            "localhost is a registry",
        ),
    ),
)
