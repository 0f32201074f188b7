"""The endpoints that list: tags, repositories; and the one that says who we are.

Chapter 12. A long list comes in pages; a Link header leads to the next one (RFC 8288).

Reading order: support, tags, catalog.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import quote

from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.storage import Repository, Storage

_JSON = {"Content-Type": "application/json"}


def support(request: Request) -> Answer:
    """Say that this is a registry.

    Spec: distribution-spec, "Determining Support".
    """
    return Answer(HTTPStatus.OK, _JSON, b"{}")


def tags(repository: Repository, request: Request) -> Answer:
    """List the tags of a repository.

    Raises: Refused (NAME_UNKNOWN).
    Spec: distribution-spec, "Listing Tags".
    """
    repository.must_exist()
    page, headers = _page(repository.tags(), request)
    document = {"name": repository.name, "tags": page}
    return Answer(HTTPStatus.OK, headers, json.dumps(document).encode())


def catalog(storage: Storage, request: Request) -> Answer:
    """List the repositories, as Docker's registry does; the specification doesn't."""
    page, headers = _page(storage.repositories(), request)
    document = {"repositories": page}
    return Answer(HTTPStatus.OK, headers, json.dumps(document).encode())


def _page(names: list[str], request: Request) -> tuple[list[str], dict[str, str]]:
    after = [name for name in names if name > request.first("last")]
    asked = request.first("n")
    if not asked:
        return after, _JSON
    if not asked.isdecimal() or len(asked) > 9:
        message = f"n={asked[:50]}: no number of names"
        raise Refused("UNSUPPORTED", message, HTTPStatus.BAD_REQUEST)
    page, rest = after[: int(asked)], after[int(asked) :]
    if not page or not rest:
        return page, _JSON
    query = f"n={asked}&last={quote(page[-1], safe='')}"
    return page, _JSON | {"Link": f'<{quote(request.path)}?{query}>; rel="next"'}
