"""The verbs that only look: state, list."""

from __future__ import annotations

import json
import os
import sys

from labkit.runtime.oci.container import (
    Container,
    Record,
    containers,
    state_json,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.runtime.oci.command import Call


def state(call: Call) -> None:
    """Print a container's state as JSON.

    labkit-oci state CONTAINER
    """
    container = Container(call.root, call.given.word(0, "the container's name"))
    record = container.read()
    print(json.dumps(_row(record, container.status(record)), indent=2))


def list_all(call: Call) -> None:
    """List the containers below the root.

    labkit-oci list [options]

      -f, --format FORMAT  table or json
      -q, --quiet          the names only
    """
    found = [(c, c.read()) for c in containers(call.root)]
    if call.given.on("quiet"):
        rows = [[record.id] for _, record in found]
    elif call.given.text("format") == "json":
        told = [_row(r, c.status(r)) for c, r in found]
        print(json.dumps(told, separators=(",", ":")))
        return
    else:
        rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
        rows += [_columns(_row(r, c.status(r))) for c, r in found]
    sys.stdout.write(table(rows))


def table(rows: list[list[str]]) -> str:
    """Return rows as lines, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def _row(record: Record, status: str) -> dict[str, Any]:
    # The specification's fields, and those that runc and crun print besides.
    return {
        **state_json(record, status),
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": _owner(),
    }


def _columns(row: dict[str, Any]) -> list[str]:
    names = ("id", "pid", "status", "bundle", "created", "owner")
    return [str(row[name]) for name in names]


def _owner() -> str:
    return os.environ.get("USER", "root")
