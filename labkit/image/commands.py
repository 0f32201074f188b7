"""The commands about images that are here: what `labkit images --help` lists.

Each imports what it needs when it runs, so that `labkit --help` is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from labkit.image import make_command

if TYPE_CHECKING:
    from io import BufferedReader

    from labkit.image.image import Image

# The type of what add_subparsers returns has no public name.
Commands: TypeAlias = "argparse._SubParsersAction[Any]"
Parser = argparse.ArgumentParser


def add_to(commands: Commands) -> None:
    """Add the commands: images, tag, rmi, and eight more."""
    images = commands.add_parser("images", help="list the images that are here")
    images.set_defaults(run=_images)
    below = images.add_subparsers(metavar="[make|prune]")
    make_command.add_to(below)
    prune = below.add_parser("prune", help="remove what no image and no container uses")
    prune.set_defaults(run=_prune)

    _command(commands, "tag", _tag, "give an image another name", "name", "new_name")
    rmi = _command(commands, "rmi", _rmi, "take a name of an image away")
    rmi.add_argument("names", nargs="+", metavar="NAME", help="a name, or an id")
    _command(commands, "inspect", _inspect, "print what an image says", "name")
    _command(commands, "history", _history, "list what made an image's layers", "name")
    _add_archives(commands)
    _add_containers(commands)


def _add_archives(commands: Commands) -> None:
    save = _command(commands, "save", _save, "write images as one tar archive")
    save.add_argument("names", nargs="+", metavar="NAME", help="a name")
    _output(save)
    load = _command(commands, "load", _load, "bring in what save has written")
    load.add_argument("-i", "--input", default="-", metavar="FILE", help="else stdin")
    load.add_argument("--name", help="for an image that has none")
    import_ = _command(commands, "import", _import, "make an image of a tar of files")
    import_.add_argument("file", metavar="FILE", help="a tar archive; - is stdin")
    import_.add_argument("name", metavar="NAME", help="the new image's name")


def _add_containers(commands: Commands) -> None:
    export = _command(
        commands, "export", _export, "write all files of a container, or of an image"
    )
    export.add_argument("name", metavar="NAME", help="a container's, or an image's")
    _output(export)
    _command(commands, "diff", _diff, "list what a container has changed", "name")
    words = "make an image of what a container has changed"
    _command(commands, "commit", _commit, words, "name", "new_name")


def _command(
    commands: Commands,
    word: str,
    run: Callable[[argparse.Namespace], int],
    words: str,
    *names: str,
) -> Parser:
    command: Parser = commands.add_parser(word, help=words)
    for name in names:
        command.add_argument(name, metavar=name.upper())
    command.set_defaults(run=run)
    return command


def _output(command: Parser) -> None:
    command.add_argument("-o", "--output", default="-", metavar="FILE", help="to FILE")


def _images(arguments: argparse.Namespace) -> int:
    from labkit.image.store import Store
    from labkit.image.verbs import rows

    lines = [("NAME", "ID", "PLATFORM", "SIZE")]
    for row in rows(Store.default()):
        name = row.reference.familiar
        lines.append((name, row.id, row.platform or row.problem, _megabytes(row.size)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from labkit.image.store import Store
    from labkit.image.trees import Trees
    from labkit.image.verbs import prune

    pruned, layers = prune(Store.default(), Trees.default())
    size = _megabytes(pruned.bytes)
    print(f"removed: {len(pruned.blobs)} blobs ({size}), {layers} unpacked layers")
    return 0


def _tag(arguments: argparse.Namespace) -> int:
    from labkit.image.store import Store
    from labkit.image.verbs import tag

    print(tag(Store.default(), arguments.name, arguments.new_name))
    return 0


def _rmi(arguments: argparse.Namespace) -> int:
    from labkit.image.store import Store
    from labkit.image.verbs import remove

    for name in arguments.names:
        for gone in remove(Store.default(), name):
            print(f"removed: {gone}")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    import json

    from labkit.image.verbs import inspect

    print(json.dumps(inspect(_find(arguments.name)), indent=2))
    return 0


def _history(arguments: argparse.Namespace) -> int:
    from labkit.image.verbs import history

    for instruction, size in history(_find(arguments.name)):
        print(f"{_megabytes(size):>9}  {instruction}".rstrip())
    return 0


def _save(arguments: argparse.Namespace) -> int:
    from labkit.image.archives import save
    from labkit.image.reference import Reference
    from labkit.image.store import Store

    references = [Reference.parse(name) for name in arguments.names]
    return _write(arguments.output, lambda to: save(Store.default(), references, to))


def _load(arguments: argparse.Namespace) -> int:
    from labkit.image.archives import load
    from labkit.image.reference import Reference
    from labkit.image.store import Store

    name = Reference.parse(arguments.name) if arguments.name else None
    for reference in load(Store.default(), _opened(arguments.input), name):
        print(f"loaded: {reference}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from labkit.image.archives import import_tree
    from labkit.image.reference import Reference
    from labkit.image.store import Store

    name = Reference.parse(arguments.name)
    print(import_tree(Store.default(), _opened(arguments.file), name).digest)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from labkit.image.container_changes import export, export_image
    from labkit.image.trees import Trees
    from labkit.plan import handle
    from labkit.primitives.overlay import Overlay

    names = [one.name for one in handle.records() if one.kind == Overlay.kind]
    if arguments.name in names:
        box = Overlay.find(arguments.name)
        return _write(arguments.output, lambda to: export(box, to))
    image, trees = _find(arguments.name), Trees.default()
    return _write(arguments.output, lambda to: export_image(trees, image, to))


def _diff(arguments: argparse.Namespace) -> int:
    from labkit.image.container_changes import diff
    from labkit.primitives.overlay import Overlay

    for letter, path in diff(Overlay.find(arguments.name)):
        print(letter, path)
    return 0


def _commit(arguments: argparse.Namespace) -> int:
    from labkit.image.container_changes import commit
    from labkit.image.reference import Reference
    from labkit.image.store import Store
    from labkit.image.trees import Trees
    from labkit.primitives.overlay import Overlay

    name = Reference.parse(arguments.new_name)
    box = Overlay.find(arguments.name)
    print(commit(Store.default(), Trees.default(), box, name).digest)
    return 0


def _find(name: str) -> Image:
    from labkit.image.image import Image
    from labkit.image.store import Store

    return Image.find(Store.default(), name)


def _write(path: str, give: Callable[[Callable[[bytes], object]], None]) -> int:
    from labkit.errors import DocumentError

    if path == "-":
        if sys.stdout.isatty():
            raise DocumentError(
                "labkit: an archive isn't written to a terminal",
                "-o FILE, or a pipe",
                meaning="its bytes are no text",
            )
        give(sys.stdout.buffer.write)
        return 0
    from labkit.layers.whole_file import whole_file

    with whole_file(path) as file:
        give(file.write)
    return 0


def _opened(path: str) -> BufferedReader:
    from labkit.errors import syscall_error

    try:
        return open(0 if path == "-" else path, "rb", closefd=path != "-")
    except OSError as refused:
        raise syscall_error(f'open("{path}")', refused.errno or 0) from None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
