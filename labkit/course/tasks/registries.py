"""Exercise 12: a challenge is answered. Its other task is in `rolling_back`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from labkit.course.attempt import ask
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import rolling_back
from labkit.course.tasks.own_registry import serving
from labkit.course.verdict import Failed, Saw
from labkit.registry.server.access import Tokens
from labkit.registry.server.passwords import Passwords, line

GetToken = Callable[[str, str, str], str]


def check_get_token(get_token: GetToken, case: Case) -> Saw:
    """Get a token to push, from a registry that has just been started."""
    user, password, app = case.seed.name(), case.seed.secret(), case.seed.name()
    file = Path(case.folder, "passwords")
    file.write_text(line(user, password) + "\n")
    begin = ("POST", f"/v2/{app}/blobs/uploads/", b"")
    with serving(case, Tokens(Passwords(file))) as registry:
        challenge = registry.send(*begin).headers["WWW-Authenticate"]
        token = ask(get_token, challenge, user, password)
        _must_be_a_token(token)
        bearer = {"Authorization": f"Bearer {token}"}
        status = registry.send(*begin, bearer).status
    if status != HTTPStatus.ACCEPTED:
        raise Failed(_why(token, app))
    return Saw("the registry took the token, and a push began with it")


def _must_be_a_token(token: Any) -> None:
    if isinstance(token, Mapping):
        raise Failed(
            f"you returned the whole answer, with {', '.join(sorted(token))}. Which "
            "of these is it?"
        )
    if not isinstance(token, str) or token.count(".") != 2:
        raise Failed(f"you returned {str(token)[:80]!r}: a token has three parts")


def _why(token: str, app: str) -> str:
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    if not claims["access"]:
        return (
            "the token allows nothing: it was asked for without a scope. What else "
            "does the challenge say?"
        )
    allowed = ", ".join(claims["access"].get(app, [])) or "nothing"
    return (
        f"the token allows {allowed}, and wanted were pull and push. Where did the "
        "rest of the scope go? It has a comma in it"
    )


GET_TOKEN = Task(
    id="12.1",
    sentence="Answer a registry's challenge: get the token that it asks for.",
    points=3,
    level=Level.MEDIUM,
    size="about six lines",
    question=Question(
        "Where does the password go?",
        (
            "to the registry, with each request",
            "to the realm, once for each token",
            "nowhere: its hash goes",
        ),
    ),
    hints=(
        "Print the challenge. It is a form, filled in: which part is an address, and "
        "which parts belong behind its question mark?",
        "The chapter's regular expression takes it apart, urlencode puts a form "
        "together, and the header Authorization carries Basic and base64.",
        "form = dict(re.findall(...)); realm = form.pop('realm'); "
        'Request(f"{realm}?{urlencode(form)}", headers={"Authorization": ...}); the '
        "answer is JSON, and you want its field token.",
    ),
    functions=("get_token",),
    check=check_get_token,
    kept=True,
    mistakes=(
        Mistake(
            "forgets the scope",
            """
def get_token(challenge, user, password):
    form = dict(re.findall(r'(\\w+)="([^"]*)"', challenge))
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    url = f"{form['realm']}?service={form['service']}"
    with urlopen(Request(url, headers={"Authorization": f"Basic {both}"})) as answer:
        return json.load(answer)["token"]
""",
            "it was asked for without a scope",
        ),
        Mistake(
            "cuts the challenge at each comma",
            """
def get_token(challenge, user, password):
    parts = [part.split("=", 1) for part in challenge.split(" ", 1)[1].split(",")]
    form = {part[0]: part[1].strip('"') for part in parts if len(part) == 2}
    realm = form.pop("realm")
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {both}"}
    with urlopen(Request(f"{realm}?{urlencode(form)}", headers=headers)) as answer:
        return json.load(answer)["token"]
""",
            "the token allows pull, and wanted were pull and push",
        ),
        Mistake(
            "shows no password",
            """
def get_token(challenge, user, password):
    form = dict(re.findall(r'(\\w+)="([^"]*)"', challenge))
    realm = form.pop("realm")
    with urlopen(f"{realm}?{urlencode(form)}") as answer:
        return json.load(answer)["token"]
""",
            "HTTP Error 401",
        ),
        Mistake(
            "returns the whole answer",
            """
def get_token(challenge, user, password):
    form = dict(re.findall(r'(\\w+)="([^"]*)"', challenge))
    realm = form.pop("realm")
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {both}"}
    with urlopen(Request(f"{realm}?{urlencode(form)}", headers=headers)) as answer:
        return json.load(answer)
""",
            "you returned the whole answer",
        ),
    ),
)

EXERCISE = Exercise(
    "12",
    "Exercise 12: Registries",
    "Answer the question that a registry asks, then roll a release back.",
    "12_registries.ipynb",
    (GET_TOKEN, rolling_back.ROLL_BACK),
)
