"""An image's layers: what is chosen is shown on the layer that it comes from."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_cell
from tests.browser.jupyterlab import Lab

CELLS = [
    """import os
from labkit import lab
from labkit.image import Manifest, Store, media_types
from labkit.image.image import Image
from labkit.image.made import make
from labkit.image.made.archive import pack
from labkit.rootfs.entries import directory, file
from dataclasses import replace

store = Store(os.path.join(os.environ["LABKIT_WORK"], "images"))
[alpine] = make(["alpine"], store)
base = Image.load(store, alpine.descriptor)
top = pack([directory("etc"), file("etc/hosts", b"another")], store)
config = replace(base.config, diff_ids=(*base.config.diff_ids, top.diff_id))
layers = (*base.manifest.layers, top.descriptor)
parts = store.write(config.to_bytes(), media_types.CONFIG), layers
image = store.write(Manifest(*parts).to_bytes(), media_types.MANIFEST)
lab.image(Image.load(store, image))""",
]


@pytest.fixture(scope="module")
def page(lab: Lab, shared_page: OpenPage) -> Page:
    """A notebook that shows an image of two layers."""
    return shared_page(lab.add("image.ipynb", CELLS))


def test_a_chosen_path_is_shown_on_its_slab_and_struck_where_it_is_hidden(
    page: Page,
) -> None:
    run_cell(page, 0)
    assert cell_errors(page) == []
    view = output(page, 0)
    view.locator('[data-path="/etc/hosts"]').first.click()
    expect(view.get_by_role("status")).to_have_text(
        "/etc/hosts comes from layer 2; hidden below it: layer 1"
    )
    expect(view.locator(".slab.from .here")).to_have_text("/etc/hosts")
    expect(view.locator(".slab.hidden")).to_have_count(1)
