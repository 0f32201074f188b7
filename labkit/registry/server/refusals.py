"""What the registry answers when it doesn't do what was asked. Chapter 12.

The specification has a list of codes, and JSON around them:

    404 {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "..."}]}

Reading order: Refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

# distribution-spec, "Error Codes", each with the status that its endpoint wants.
STATUS = {
    "BLOB_UNKNOWN": HTTPStatus.NOT_FOUND,
    "BLOB_UPLOAD_INVALID": HTTPStatus.BAD_REQUEST,
    "BLOB_UPLOAD_UNKNOWN": HTTPStatus.NOT_FOUND,
    "DIGEST_INVALID": HTTPStatus.BAD_REQUEST,
    "MANIFEST_BLOB_UNKNOWN": HTTPStatus.NOT_FOUND,
    "MANIFEST_INVALID": HTTPStatus.BAD_REQUEST,
    "MANIFEST_UNKNOWN": HTTPStatus.NOT_FOUND,
    "NAME_INVALID": HTTPStatus.BAD_REQUEST,
    "NAME_UNKNOWN": HTTPStatus.NOT_FOUND,
    "SIZE_INVALID": HTTPStatus.BAD_REQUEST,
    "UNAUTHORIZED": HTTPStatus.UNAUTHORIZED,
    "DENIED": HTTPStatus.FORBIDDEN,
    "UNSUPPORTED": HTTPStatus.METHOD_NOT_ALLOWED,
}


class Refused(Exception):
    """One of the specification's errors; the connection makes an answer of it."""

    def __init__(
        self,
        code: str,
        message: str,
        status: HTTPStatus | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        self.status = status or STATUS[code]
        self.headers = dict(headers or {})

    def to_bytes(self) -> bytes:
        """Return the body that the specification asks for."""
        error = {"code": self.code, "message": self.message}
        return json.dumps({"errors": [error]}).encode() + b"\n"
