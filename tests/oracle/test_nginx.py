"""The distribution's nginx in a container: curl and a browser see its page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Container, container
from labkit.errors import HostError
from labkit.host import Host
from labkit.image import Image, Store
from labkit.image.made import make
from labkit.image.trees import Trees
from tests.kernel.test_network import listens
from tests.kernel.watching import becomes_true
from tests.support.private_state import place_for_overlays
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
URL = "http://127.0.0.1:28300/"
SITE = "/usr/share/nginx/html"


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    folder = place_for_overlays() / "labkit-site"
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def web(host: Host, site: Path) -> Iterator[Container]:
    apt = host.tool("apt-get") and host.tool("dpkg-deb")
    need("apt", apt, "this distribution has no apt-get")
    store = Store.default()
    try:
        list(make(["nginx"], store, lambda line: None))
    except HostError as error:
        need("mirror", False, f"the distribution's mirror: {error.meaning}")
    image = Image.find(store, "nginx")
    run = image.config.execution
    box = container(
        "nginx",
        (*(run.entrypoint or ()), *(run.cmd or ())),
        root=Trees.default().unpack(image),
        publish=["28300:80"],
        volumes=[f"{site}:{SITE}:ro"],
    )
    with box:
        box.start()
        assert becomes_true(lambda: listens(box))
        yield box


def curl(*options: str) -> str:
    need("curl", shutil.which("curl"), "the program curl isn't here")
    words = ["curl", "--silent", "--max-time", "5", *options, URL]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_curl_gets_the_hosts_page_from_the_published_port(
    web: Container, site: Path
) -> None:
    (site / "index.html").write_text("<h1>one</h1>")
    assert curl() == "<h1>one</h1>"
    assert "Server: nginx/" in curl("--head")


def test_the_page_changes_when_the_hosts_file_changes(
    web: Container, site: Path
) -> None:
    (site / "index.html").write_text("<h1>two</h1>")
    assert curl() == "<h1>two</h1>"


def test_writing_through_the_read_only_volume_is_refused(
    web: Container, site: Path
) -> None:
    (site / "index.html").write_text("<h1>mine</h1>")
    for script in (f"echo x > {SITE}/index.html", f"rm -f {SITE}/index.html"):
        tried = web.exec(["sh", "-c", script])
        assert not tried.exit.ok and "Read-only file system" in tried.stdout
    assert curl() == "<h1>mine</h1>"


def test_a_browser_shows_the_page(web: Container, site: Path, chromium: Path) -> None:
    from playwright.sync_api import sync_playwright

    (site / "index.html").write_text("<title>lab</title><h1>Hello, browser</h1>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        try:
            page = browser.new_page()
            page.goto(URL)
            assert page.inner_text("h1") == "Hello, browser"
            assert page.title() == "lab"
        finally:
            browser.close()


def test_the_containers_log_has_the_requests(web: Container) -> None:
    curl()
    assert becomes_true(lambda: '"GET / HTTP/1.1" 200' in web.output)
