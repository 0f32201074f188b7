"""Arguments: a verb's page of help is the table by which its options are read.

    -b, --bundle DIR      a word in capitals: the option takes a value
    --no-pivot            none: it is a switch
    -e, --env NAME=V...   dots: it may be given several times

There is no second list that could differ from what `--help` prints. argparse would cost
every start of a container several milliseconds, and refuses what runc accepts: options
after the container's name, but not after a program that is to be run.

Reading order: read, Given, options_of.
"""

from __future__ import annotations

from labkit.errors import DocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Given:
    """What was given on a command line: options by their long name, and words."""

    __slots__ = ("options", "words")

    def __init__(self) -> None:
        self.options: dict[str, list[str]] = {}
        self.words: list[str] = []

    def on(self, name: str) -> bool:
        """Say whether a switch was given; `--name=false` turns it off again."""
        return self.text(name, "false") not in ("false", "0")

    def text(self, name: str, default: str = "") -> str:
        """Return an option's value; the last one counts."""
        return self.options.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Return every value of an option that may be repeated."""
        return self.options.get(name, [])

    def number(self, name: str, default: int = 0) -> int:
        """Return an option's value as a whole number.

        Raises: DocumentError when it is none.
        """
        text = self.text(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise DocumentError(
                f"--{name} {text}: that is no number",
                f"a whole number, as --{name} {default}",
            ) from None

    def word(self, index: int, what: str) -> str:
        """Return a word that must be there.

        Raises: DocumentError with the name of what is missing.
        """
        if index < len(self.words):
            return self.words[index]
        raise DocumentError(
            f"{what} is missing", "add --help to the verb: it lists what it takes"
        )


class _Option:
    __slots__ = ("many", "name", "takes_value")

    def __init__(self, name: str, metavar: str) -> None:
        self.name = name
        self.takes_value, self.many = bool(metavar), metavar.endswith("...")


def read(page: str, arguments: Sequence[str], *, words: int | None = None) -> Given:
    """Read a command line by a page of help.

    Args: page [as above]; words [after so many words the rest is taken as it is: a
        program's own options; None for a verb that runs none].
    Raises: DocumentError for an unknown option, or one without its value.
    """
    known, given, rest = options_of(page), Given(), iter(arguments)
    for argument in rest:
        if argument == "--":
            given.words += rest
        elif argument.startswith("-") and argument != "-":
            _take(known, argument, rest, given)
        else:
            given.words.append(argument)
            if words is not None and len(given.words) >= words:
                given.words += rest
    return given


def options_of(page: str) -> dict[str, _Option]:
    """Return the options of a page, by each of their names with its dashes."""
    found: dict[str, _Option] = {}
    for line in page.splitlines():
        text = line.strip()
        if not text.startswith("-"):
            continue
        *names, last = text.partition("  ")[0].split(", ")
        last, _, metavar = last.partition(" ")
        option = _Option(last.lstrip("-"), metavar)
        found.update(dict.fromkeys([*names, last], option))
    return found


def _take(
    known: dict[str, _Option], argument: str, rest: Iterator[str], given: Given
) -> None:
    name, has_value, value = argument.partition("=")
    option = known.get(name) or known.get(f"-{name}")  # Go's way: -root for --root
    if option is None:
        raise DocumentError(
            f"{name}: there is no such option",
            "add --help to the verb: it lists what it takes",
            meaning="an option that isn't understood must not be ignored",
        )
    if option.takes_value and not has_value:
        value = next(rest, "\0")
        if value == "\0":
            raise DocumentError(f"{name}: its value is missing", f"{name} VALUE")
    values = given.options.setdefault(option.name, [])
    values.append(value if option.takes_value or has_value else "true")
