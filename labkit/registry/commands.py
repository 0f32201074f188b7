"""The commands of registries: pull, push, login, logout, registry. Chapter 12."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.registry.client.session import Terms
    from labkit.registry.server.access import Access

_LISTEN = "127.0.0.1:5000"


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands to the parser of `labkit`."""
    pull = commands.add_parser("pull", help="get an image from a registry")
    pull.add_argument("image", metavar="IMAGE")
    pull.add_argument("--platform", metavar="OS/ARCH", help="not this machine's")
    pull.add_argument("--all-platforms", action="store_true", help="every one there is")
    _add_terms(pull)
    pull.set_defaults(run=_pull)

    push = commands.add_parser("push", help="send an image to its registry")
    push.add_argument("image", metavar="IMAGE")
    push.add_argument(
        "--chunk", type=int, default=0, metavar="MIB", help="send blobs in such pieces"
    )
    _add_terms(push)
    push.set_defaults(run=_push)

    login = commands.add_parser("login", help="keep a registry's name and password")
    login.add_argument("registry", nargs="?", default="docker.io", metavar="REGISTRY")
    login.add_argument("-u", "--username", metavar="NAME")
    login.add_argument("--password-stdin", action="store_true", help="don't ask for it")
    _add_terms(login)
    login.set_defaults(run=_login)

    logout = commands.add_parser("logout", help="forget a registry's name and password")
    logout.add_argument("registry", nargs="?", default="docker.io", metavar="REGISTRY")
    logout.set_defaults(run=_logout)
    _add_registry(commands.add_parser("registry", help="a registry of your own"))


def _add_terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="plain HTTP, or any certificate, will do",
    )
    parser.add_argument("--ca", default="", metavar="FILE", help="whom to believe")


def _add_registry(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    serve = verbs.add_parser("serve", help="be a registry until you are interrupted")
    serve.add_argument("--listen", default=_LISTEN, metavar="HOST:PORT", help=_LISTEN)
    serve.add_argument(
        "--storage", metavar="DIR", help="the lab's own place, if absent"
    )
    serve.add_argument("--htpasswd", metavar="FILE", help="names and bcrypt passwords")
    serve.add_argument(
        "--tokens", action="store_true", help="passwords only for tokens"
    )
    serve.add_argument("--public", action="store_true", help="all may have pull tokens")
    serve.add_argument("--tls-cert", metavar="FILE", help="a certificate in PEM form")
    serve.add_argument("--tls-key", metavar="FILE", help="its key")
    serve.add_argument("--quiet", action="store_true", help="no line for each request")
    serve.set_defaults(run=_serve)
    collect = verbs.add_parser("collect", help="remove what no repository needs")
    collect.add_argument("--storage", metavar="DIR", help="the lab's own, if absent")
    collect.add_argument(
        "--young",
        type=float,
        default=60,
        metavar="MINUTES",
        help="what is younger stays",
    )
    collect.set_defaults(run=_collect)
    password = verbs.add_parser("password", help="print a line for --htpasswd")
    password.add_argument("name", metavar="NAME")
    password.set_defaults(run=_password)


def _pull(arguments: argparse.Namespace) -> int:
    from labkit.image import Platform, Reference, Store
    from labkit.registry.client.progress import shown
    from labkit.registry.client.pull import Wanted, pull

    reference = Reference.parse(arguments.image)
    platform = Platform.parse(arguments.platform) if arguments.platform else None
    wanted = Wanted(platform, arguments.all_platforms)
    with shown(sys.stderr) as subscriber:
        found = pull(reference, Store.default(), wanted, _terms(arguments), subscriber)
    print(f"{reference} {found.digest}")
    return 0


def _push(arguments: argparse.Namespace) -> int:
    from labkit.image import Reference, Store
    from labkit.registry.client.progress import shown
    from labkit.registry.client.push import push

    reference, chunk = Reference.parse(arguments.image), arguments.chunk << 20
    with shown(sys.stderr) as subscriber:
        found = push(reference, Store.default(), _terms(arguments), subscriber, chunk)
    print(f"{reference} {found.digest}")
    return 0


def _login(arguments: argparse.Namespace) -> int:
    from labkit.registry.client.credentials import Login
    from labkit.registry.client.login import login

    user = arguments.username or input("Username: ")
    given = Login(user, _typed(stdin=arguments.password_stdin))
    login(arguments.registry, given, _terms(arguments))
    print(f"logged in to {arguments.registry} as {user}")
    return 0


def _logout(arguments: argparse.Namespace) -> int:
    from labkit.registry.client.login import logout

    logout(arguments.registry)
    print(f"logged out of {arguments.registry}")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from labkit.registry.server import starting
    from labkit.registry.server.routes import Registry

    where, made = (
        starting.address(arguments.listen),
        starting.storage(arguments.storage),
    )
    registry = Registry(made, _access(arguments))
    context = starting.tls(arguments.tls_cert, arguments.tls_key)
    say = None if arguments.quiet else _say
    server = starting.listening(where, registry, context, say)
    with server, starting.terminated():
        _say(f"registry at {server.url}, files in {registry.storage.root}")
        server.serve_forever()
    return 0


def _access(arguments: argparse.Namespace) -> Access:
    from labkit.registry.server.starting import access

    tokens, public = arguments.tokens, arguments.public
    return access(arguments.htpasswd, tokens=tokens, public=public)


def _collect(arguments: argparse.Namespace) -> int:
    from labkit.registry.server.garbage import collect
    from labkit.registry.server.starting import storage

    gone = collect(storage(arguments.storage), young_s=arguments.young * 60)
    print(f"{gone.links} links and {gone.blobs} blobs removed, {gone.bytes} bytes")
    return 0


def _password(arguments: argparse.Namespace) -> int:
    from labkit.registry.server.passwords import line

    print(line(arguments.name, _typed(stdin=not sys.stdin.isatty())))
    return 0


def _typed(*, stdin: bool) -> str:
    from getpass import getpass

    return sys.stdin.readline().rstrip("\r\n") if stdin else getpass()


def _terms(arguments: argparse.Namespace) -> Terms:
    from labkit.registry.client.session import Terms
    from labkit.registry.client.wire import Trust

    return Terms(Trust(arguments.insecure, arguments.ca))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
