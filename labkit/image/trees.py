"""Layers, unpacked: each once, shared by all containers. Chapter 11.

    <state>/layers/1f2a5b...         one layer in the overlay's own form
    <state>/layers/1f2a5b....json    it is complete: chain id, diff_id, names, bytes
    <state>/layers/.1f2a5b...        being unpacked, or removed; a kill may leave it

A directory is named after the first digits of its chain id, because the paths of all
layers of an image must fit into one page for mount(2).

Others than its owner can't pass through <state>/layers: a layer may hold a program that
runs as root whoever starts it (moby's CVE-2021-41091).

Reading order: Trees, Unpacked.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit import state
from labkit.errors import StateError
from labkit.image import locks
from labkit.image.digest import Digest, DigestMismatch
from labkit.image.image import Image, Layer
from labkit.layers.apply import Limits, apply_layer
from labkit.layers.below import Below
from labkit.layers.root import copy_attributes
from labkit.layers.whiteouts import InOverlay
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.primitives.overlay import may_use_trusted_xattrs

_DIGITS = 16
_DESCRIPTION = ".json"
_WAIT_S = 600  # for somebody else who unpacks the same layer


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A layer on the disk: what its description says."""

    chain_id: str
    diff_id: str
    names: int
    bytes: int


class Trees:
    """The unpacked layers in one directory.

    Args: root [host path, on no overlay; made if need be]; marks [how the overlay's
        marks begin: "trusted.overlay." or, for an ordinary user, "user.overlay."].
    """

    def __init__(self, root: HostPath, marks: str) -> None:
        self.root, self.marks = root, marks
        os.chmod(root, 0o700)

    @classmethod
    def default(cls) -> Trees:
        """Return the lab's own, in its state directory.

        Raises: HostError when the state lies on an overlay, or where an ordinary user's
            overlay can't keep its marks.
        """
        trusted = may_use_trusted_xattrs()
        root = state.layers_directory("layers", user_marks=not trusted)
        return cls(root, "trusted.overlay." if trusted else "user.overlay.")

    def unpack(
        self,
        image: Image,
        say: Callable[[Layer], None] = lambda layer: None,
        limits: Limits | None = None,
    ) -> tuple[HostPath, ...]:
        """Unpack the layers of an image that aren't unpacked yet.

        Args: image; say [is called before each layer that is unpacked now]; limits
            [for each layer].
        Returns: its layers' directories, top first, as Overlay takes them.
        Raises: what `apply_layer` raises; DigestMismatch when a layer isn't that of the
            config. What was unpacked before stays.
        """
        below: list[HostPath] = []
        for layer in image.layers:
            path = self.path(layer.chain_id)
            with self._alone(os.path.basename(path)):
                if self.get(layer.chain_id) is None:
                    say(layer)
                    self._unpack(image, layer, tuple(below), limits)
            below.insert(0, path)
        return tuple(below)

    def path(self, chain_id: Digest) -> HostPath:
        """Return where a layer is or would be."""
        return HostPath(os.path.join(self.root, chain_id.encoded[:_DIGITS]))

    def get(self, chain_id: Digest) -> Unpacked | None:
        """Return what is known of an unpacked layer; None when it isn't complete."""
        path = self.path(chain_id)
        try:
            text = Path(f"{path}{_DESCRIPTION}").read_text(encoding="utf-8")
            found = Unpacked(**json.loads(text))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if found.chain_id == chain_id and os.path.isdir(path) else None

    def prune(self, keep: Iterable[Digest]) -> int:
        """Remove all layers but these and those of overlays, and what a kill has left.

        Args: keep [chain ids, of images that are here and of containers].
        Returns: how many layers went.
        """
        kept = {os.path.basename(self.path(chain_id)) for chain_id in keep}
        kept |= {os.path.basename(path) for path in _lower_directories()}
        there = (name.removeprefix(".") for name in os.listdir(self.root))
        names = {n.partition(".")[0] for n in there if not n.startswith("lock-")}
        gone = 0
        for name in sorted(names - kept):
            with self._alone(name):
                gone += os.path.exists(f"{self.root}/{name}{_DESCRIPTION}")
                self._remove(name)
        return gone

    def halves(self) -> Iterator[str]:
        """Yield the names of what a kill has left: nobody unpacks it just now."""
        for name in sorted(os.listdir(self.root)):
            is_half = name.startswith(".") and not name.startswith(".lock-")
            if is_half and self._is_free(name[1:]):
                yield name[1:]

    def remove_half(self, name: str) -> None:
        """Remove what a kill has left of a layer.

        Raises: StateError when somebody unpacks it again meanwhile.
        """
        with self._alone(name, timeout_s=0):
            half = Path(self.root, f".{name}")
            if half.exists():
                shutil.rmtree(half)

    def _is_free(self, name: str) -> bool:
        try:
            with self._alone(name, timeout_s=0):
                return True
        except StateError:
            return False  # somebody unpacks it just now

    def _alone(
        self, name: str, *, timeout_s: float = _WAIT_S
    ) -> AbstractContextManager[None]:
        path = f"{self.root}/.lock-{name}"
        return locks.hold(path, alone=True, timeout_s=timeout_s)

    def _unpack(
        self,
        image: Image,
        layer: Layer,
        below: tuple[HostPath, ...],
        limits: Limits | None,
    ) -> None:
        name = os.path.basename(self.path(layer.chain_id))
        self._remove(name)
        fresh = HostPath(os.path.join(self.root, f".{name}"))
        os.mkdir(fresh)
        os.chmod(fresh, 0o755)  # whatever the umask is
        try:
            if below:  # the merged root has the attributes of the topmost layer's
                copy_attributes(below[0], fresh)
            blob = image.store.open(layer.descriptor)
            removed, under = InOverlay(self.marks), Below(below, self.marks)
            found = apply_layer(blob, fresh, removed, under, limits)
            _compare(found.diff_id, layer.diff_id)
            # The description last: who sees it sees a complete directory.
            os.rename(fresh, self.path(layer.chain_id))
            known = Unpacked(layer.chain_id, found.diff_id, found.names, found.bytes)
            place = HostPath(f"{self.path(layer.chain_id)}{_DESCRIPTION}")
            state.write(place, json.dumps(asdict(known)))
        except BaseException as problem:
            _try_to_remove(fresh, problem)
            raise

    def _remove(self, name: str) -> None:
        # The description first: half a directory must not look complete.
        Path(self.root, f"{name}{_DESCRIPTION}").unlink(missing_ok=True)
        for path in (Path(self.root, name), Path(self.root, f".{name}")):
            if path.exists():
                shutil.rmtree(path)


def _lower_directories() -> Iterator[str]:
    # A living overlay, mounted or not, needs its layers to stay as they are.
    for record in handle.records():
        yield from record.undo.get("lowerdirs", ())


def _try_to_remove(path: HostPath, problem: BaseException) -> None:
    try:
        shutil.rmtree(path)
    except OSError as left:
        # The first error is the one to read; the next unpacking removes the rest.
        problem.add_note(f"and removing {path} failed: {left}")


def _compare(found: str, wanted: Digest) -> None:
    if found != wanted:
        raise DigestMismatch(
            f"layer: its diff_id is {found}, the config says {wanted}",
            "get the image from somebody else",
            "chapter 11",
            meaning="manifest and config speak of different layers",
        )
