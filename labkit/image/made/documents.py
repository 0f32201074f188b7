"""The documents of an image of the lab's: its config, with labels, and its manifest.

Every time in them is fixed, as in the layers: the same layers make the same digest.

Spec: image-spec, config.md, manifest.md, annotations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from labkit.image import media_types
from labkit.image.config import Config, Execution, History
from labkit.image.descriptor import Descriptor, Platform
from labkit.image.made.archive import Packed
from labkit.image.made.recipe import Layer, Programs, Recipe
from labkit.image.made.recipes import family
from labkit.image.manifest import Manifest
from labkit.image.store import Store
from labkit.rootfs.entries import MTIME_S

RECIPE = "labkit.recipe"
"""The annotation by which the lab knows its own images: from which recipe they are."""

OWN = "the lab's own, not the image of this name on Docker Hub"
_KEY = "org.opencontainers.image."
_CREATED = datetime.fromtimestamp(MTIME_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Baked:
    """A layer that is in the store, and what it was made from."""

    layer: Layer
    packed: Packed
    versions: Mapping[str, str]  # package -> version


def write_image(
    recipe: Recipe, layers: Sequence[Baked], made_from: str, store: Store
) -> Descriptor:
    """Write config and manifest into a store.

    Args: layers [the lowest first]; made_from [the recipe's digest].
    Returns: the manifest's descriptor.
    Raises: HostError: ENOSPC.
    """
    labels = _labels(recipe, layers)
    execution = replace(recipe.execution, labels=labels)
    config = _config(recipe, layers, execution).to_bytes()
    document = Manifest(
        store.write(config, media_types.CONFIG),
        tuple(one.packed.descriptor for one in layers),
        annotations={**labels, RECIPE: made_from},
    )
    return store.write(document.to_bytes(), document.media_type)


def _config(recipe: Recipe, layers: Sequence[Baked], execution: Execution) -> Config:
    return Config(
        Platform.here(),
        tuple(one.packed.diff_id for one in layers),
        execution,
        tuple(_history(recipe, iter(layers))),
        _CREATED,
        "labkit",
    )


def _history(recipe: Recipe, layers: Iterator[Baked]) -> Iterator[History]:
    for one in family(recipe):
        for layer in one.layers:
            yield History(layer.created_by, _CREATED, comment=_versions(next(layers)))
        for instruction in one.instructions:
            yield History(instruction, _CREATED, empty_layer=True)


def _versions(baked: Baked) -> str:
    return ", ".join(f"{name} {text}" for name, text in sorted(baked.versions.items()))


def _labels(recipe: Recipe, layers: Sequence[Baked]) -> dict[str, str]:
    labels = {
        f"{_KEY}title": recipe.name.partition(":")[0],
        f"{_KEY}description": f"{OWN}: {recipe.about}",
        f"{_KEY}vendor": "labkit",
    }
    for baked in layers:
        if isinstance(baked.layer, Programs):
            labels[f"{_KEY}version"] = baked.versions[baked.layer.packages[0]]
    return labels
