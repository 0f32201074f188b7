"""Which function answers which request: the specification's table. Chapter 12.

Reading order: ROUTES, Registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

from labkit.registry.server import blobs, lists, manifests
from labkit.registry.server.access import PULL, PUSH, Access, Open
from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.refusals import Refused
from labkit.registry.server.storage import Storage

_READING = ("GET", "HEAD")

# fmt: off
ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    # distribution-spec, "Endpoints"; end-1 and the catalog are about no repository
    ("GET HEAD", r"/blobs/(?P<digest>[^/]+)",       blobs.get),           # end-2
    ("GET HEAD", r"/manifests/(?P<which>[^/]+)",    manifests.get),       # end-3
    ("POST",     r"/blobs/uploads/?",               blobs.begin_upload),  # end-4, 11
    ("PATCH",    r"/blobs/uploads/(?P<name>[^/]+)", blobs.add_chunk),     # end-5
    ("PUT",      r"/blobs/uploads/(?P<name>[^/]+)", blobs.finish_upload), # end-6
    ("PUT",      r"/manifests/(?P<which>[^/]+)",    manifests.put),       # end-7
    ("GET HEAD", r"/tags/list",                     lists.tags),          # end-8
    ("DELETE",   r"/manifests/(?P<which>[^/]+)",    manifests.delete),    # end-9
    ("DELETE",   r"/blobs/(?P<digest>[^/]+)",       blobs.delete),        # end-10
    ("GET HEAD", r"/referrers/(?P<digest>[^/]+)",   manifests.referrers), # end-12
    ("GET HEAD", r"/blobs/uploads/(?P<name>[^/]+)", blobs.upload_status), # end-13
    ("DELETE",   r"/blobs/uploads/(?P<name>[^/]+)", blobs.cancel_upload), # end-14
)
# fmt: on
_COMPILED = [
    (methods.split(), re.compile(rf"/v2/(?P<repository>.+?){path}"), endpoint)
    for methods, path, endpoint in ROUTES
]


class Registry:
    """A registry without sockets: a request goes in, an answer comes out."""

    def __init__(self, storage: Storage, access: Access | None = None) -> None:
        self.storage, self.access = storage, access or Open()

    def answer(self, request: Request) -> Answer:
        """Do what is asked, if it is allowed.

        Raises: Refused; OSError from the disk; ConnectionError from the client.
        """
        if request.path == "/token":
            return self.access.token(request)
        if request.path in ("/v2", "/v2/", "/v2/_catalog"):
            self.access.check(request, "", PULL)
            if request.path == "/v2/_catalog":
                return lists.catalog(self.storage, request)
            return lists.support(request)
        return self._about_a_repository(request)

    def _about_a_repository(self, request: Request) -> Answer:
        matches = [
            (methods, found, endpoint)
            for methods, pattern, endpoint in _COMPILED
            if (found := pattern.fullmatch(request.path))
        ]
        for methods, found, endpoint in matches:
            if request.method in methods:
                words = found.groupdict()
                name = words.pop("repository")
                self.access.check(request, name, _action(request.method))
                return endpoint(self.storage.repository(name), request, **words)
        if matches:
            raise Refused("UNSUPPORTED", f"{request.method} isn't possible here")
        message = f"{request.path[:200]}: no endpoint of a registry"
        raise Refused("UNSUPPORTED", message, HTTPStatus.NOT_FOUND)


def _action(method: str) -> str:
    return PULL if method in _READING else PUSH
