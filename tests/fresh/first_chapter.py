"""Whether JupyterLab serves the first chapter, asked as a browser asks."""

from __future__ import annotations

import json
import re
import time
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(/\S*)?/lab/tree/\S+\?token=\w+")


def printed_address(output: IO[str] | None) -> str:
    """Return the address that `make lab` prints; pass on everything else it says."""
    for line in output or ():
        print(line, end="", flush=True)
        if found := ADDRESS.search(line):
            return found[0]
    raise AssertionError("make lab ended without an address")


def is_shown(address: str) -> None:
    """Get the page, and the notebook that the page will ask for."""
    page = ask(address).decode()
    assert "jupyter-config-data" in page, "this page is not JupyterLab's"
    chapter = json.loads(ask(address.replace("/lab/tree/", "/api/contents/")))
    assert chapter["content"]["cells"], "the first chapter is empty"
    first = "".join(chapter["content"]["cells"][0]["source"])
    assert "00" in first, f"the first chapter begins with {first!r}"


def stop(address: str) -> None:
    """Shut the server down, as File > Shut Down does."""
    ask(re.sub(r"/lab/tree/[^?]*", "/api/shutdown", address), method="POST")


def ask(address: str, method: str = "GET") -> bytes:
    """Return the answer to a request; a server that just started gets a moment."""
    for _ in range(150):
        try:
            with urlopen(Request(address, method=method), timeout=30) as answer:
                body: Any = answer.read()
                return bytes(body)
        except HTTPError:
            raise
        except (ConnectionError, URLError):  # nobody listens yet
            time.sleep(0.2)
    raise AssertionError(f"no answer from {address}")
