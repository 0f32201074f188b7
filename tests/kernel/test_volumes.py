"""Data that outlives its container, and data that a container may not change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit import Container, MakePrivate, Plan, Unshare, step
from labkit.errors import ContainerFailed, DocumentError, NoSuchPath, StateError
from labkit.linux import CLONE, MNT, MS, Linux
from labkit.rootfs import rootfs
from labkit.volumes import Volume
from tests.kernel.probed_once import container
from tests.kernel.watching import becomes_true
from tests.support.ours import ours

pytestmark = pytest.mark.usefixtures("as_root")


@pytest.fixture
def data() -> Iterator[Volume]:
    volume = Volume.create("data")
    yield volume
    volume.remove()


@pytest.fixture
def host_folder() -> Iterator[Path]:
    # Not pytest's tmp_path: containers with other user ids can't pass through it.
    folder = Path(os.environ["LABKIT_STATE"]).with_name("shared")
    folder.mkdir()
    (folder / "page").write_text("one")
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.fixture(scope="module")
def image() -> Iterator[tuple[Path, str]]:
    """A layer over the lab's root: it has files where a volume will be."""
    layer = Path(os.environ["LABKIT_STATE"]).with_name("image")
    (layer / "srv/site").mkdir(parents=True)
    (layer / "srv/site/index").write_text("from the image")
    os.chown(layer / "srv/site", 33, 33)
    (layer / "srv/site").chmod(0o750)
    (layer / "trap").symlink_to("/etc")
    yield layer, str(rootfs("alpine").path)
    for path in ("srv/site/index", "trap"):
        (layer / path).unlink()
    for folder in ("srv/site", "srv", "."):
        (layer / folder).rmdir()


def says(box: Container, script: str) -> str:
    ended = box.exec(["sh", "-c", script])
    return (ended.stdout + ended.stderr).strip()


def test_what_is_written_into_a_volume_outlives_the_container(data: Volume) -> None:
    with container("first", volumes=["data:/data"]) as box:
        box.start()
        says(box, "echo kept > /data/file; echo lost > /file")
    with container("second", volumes=["data:/data"]) as box:
        box.start()
        assert says(box, "cat /data/file; ls /file") == (
            "kept\nls: /file: No such file or directory"
        )
    assert Path(data.path, "file").read_text() == "kept\n"


def test_a_volume_is_made_when_it_is_first_used_and_shared() -> None:
    with ExitStack() as all_of_them:
        left, right = (container(n, volumes=["new:/v"]) for n in ("left", "right"))
        for box in (left, right):
            all_of_them.enter_context(box)
            box.start()
        says(left, "echo hello > /v/note")
        assert says(right, "cat /v/note") == "hello"
        assert Volume.of("new").users == ("left", "right")
        with pytest.raises(StateError) as refused:
            Volume.of("new").remove()
        assert refused.value.meaning == "by the container left, right"
    Volume.of("new").remove()


def test_a_new_volume_begins_with_what_the_image_has_there(
    image: tuple[Path, str], data: Volume
) -> None:
    with container("web", root=image, volumes=["data:/srv/site"]) as box:
        box.start()
        assert says(box, "cat /srv/site/index") == "from the image"
        assert says(box, "stat -c '%u %a' /srv/site") == "33 750"
        says(box, "echo mine > /srv/site/index")
    with container("web", root=image, volumes=["data:/srv/site"]) as box:
        box.start()
        assert says(box, "cat /srv/site/index") == "mine"


def test_what_a_kill_left_of_an_images_files_is_copied_anew(
    image: tuple[Path, str], data: Volume
) -> None:
    Path(data.path, "half").mkdir()
    Path(data.path, "ind").write_text("from the")
    Path(f"{data.path}.half").touch()
    here = {"root": image, "volumes": ["data:/srv/site"]}
    # As long as somebody uses what is there, it stays.
    with (
        container("other", volumes=["data:/d:nocopy"]),
        container("web", **here) as box,
    ):
        box.start()
        assert says(box, "ls /srv/site") == "half\nind"
    with container("web", root=image, volumes=["data:/srv/site"]) as box:
        box.start()
        assert says(box, "ls /srv/site; cat /srv/site/index") == (
            "index\nfrom the image"
        )
    assert not Path(f"{data.path}.half").exists()


def test_an_images_files_for_which_there_is_no_room_are_copied_when_there_is(
    image: tuple[Path, str], data: Volume
) -> None:
    linux = Linux(forked=True)
    large = image[0] / "srv/site/large"
    large.write_bytes(bytes(100_000))
    linux.mount("none", data.path, "tmpfs", MS(0), "size=8k")
    try:
        with pytest.raises(ContainerFailed, match="cp ended"):
            container("web", root=image, volumes=["data:/srv/site"])
        linux.mount("none", data.path, "tmpfs", MS.REMOUNT, "size=1m")
        with container("web", root=image, volumes=["data:/srv/site"]) as box:
            box.start()
            assert says(box, "wc -c < /srv/site/large") == "100000"
    finally:
        linux.umount2(data.path, MNT.DETACH)
        large.unlink()


def test_a_damaged_document_of_a_volume_is_told(data: Volume) -> None:
    document = Path(data.path).with_name("volume.json")
    written = document.read_text()
    for damaged in ("", "[]", '{"created": "x"}', written[:-2]):
        document.write_text(damaged)
        with pytest.raises(StateError, match="its file can't be read"):
            Volume.all()
    document.write_text(written)


def test_unless_nobody_wants_that(image: tuple[Path, str], data: Volume) -> None:
    with container("web", root=image, volumes=["data:/srv/site:nocopy"]) as box:
        box.start()
        assert says(box, "ls /srv/site") == ""


def test_a_volume_without_a_name_goes_with_its_container() -> None:
    before = Volume.all()
    with container("brief", volumes=["/scratch"]) as box:
        box.start()
        says(box, "echo here > /scratch/file")
        assert len(Volume.all()) == len(before) + 1
    assert Volume.all() == before


def test_the_hosts_file_changes_and_the_container_sees_it(host_folder: Path) -> None:
    with container("web", volumes=[f"{host_folder}:/www:ro"]) as box:
        box.start()
        assert says(box, "cat /www/page") == "one"
        (host_folder / "page").write_text("two")
        assert says(box, "cat /www/page") == "two"


def test_writing_through_a_read_only_mount_is_refused(host_folder: Path) -> None:
    mount = f"type=bind,source={host_folder},target=/other,readonly"
    with container("web", volumes=[f"{host_folder}:/www:ro"], mounts=[mount]) as box:
        box.start()
        for place in ("/www", "/other"):
            assert "Read-only file system" in says(box, f"echo x > {place}/page")
            assert "Read-only file system" in says(box, f"rm {place}/page")
    assert (host_folder / "page").read_text() == "one"


def test_what_is_mounted_below_it_is_read_only_as_well(host_folder: Path) -> None:
    inner = host_folder / "inner"
    inner.mkdir()

    def mounts_and_looks(linux: Linux) -> None:
        linux.mount("tmpfs", str(inner), "tmpfs", MS(0))
        (inner / "deep").write_text("deep")
        with container("web", volumes=[f"{host_folder}:/www:ro"]) as box:
            box.start()
            print(says(box, "cat /www/inner/deep; echo x > /www/inner/deep"), end="")

    plan = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), step(mounts_and_looks))
    with plan.fork() as child:
        child.run()
        assert "deepsh: can't create" in child.output.replace("\n", "")
        assert "Read-only file system" in child.output
    inner.rmdir()


def test_a_missing_host_folder_is_made_for_a_volume_and_not_for_a_mount(
    host_folder: Path,
) -> None:
    missing = host_folder / "missing"
    bind = f"type=bind,source={missing},target=/m"
    with pytest.raises(NoSuchPath):
        container("strict", mounts=[bind])
    with container("kind", volumes=[f"{missing}:/m"]) as box:
        box.start()
        says(box, "echo x > /m/file")
    assert (missing / "file").read_text() == "x\n"
    (missing / "file").unlink()
    missing.rmdir()


def test_one_file_can_be_mounted(host_folder: Path) -> None:
    with container("web", volumes=[f"{host_folder}/page:/etc/motd:ro"]) as box:
        box.start()
        assert says(box, "cat /etc/motd") == "one"


def test_a_tmpfs_has_its_size_and_goes_with_the_container() -> None:
    with container("web", tmpfs=["/run:size=64k,mode=1777"]) as box:
        box.start()
        rows = Path(f"/proc/{box.pid}/mountinfo").read_text().splitlines()
        [row] = [row for row in rows if row.split()[4] == "/run"]
        assert "size=64k" in row and "nosuid,nodev" in row
        says(box, "head -c 99999 /dev/zero > /run/big")
        assert says(box, "stat -c %s /run/big") == "65536"
        assert Path(box.layers.upperdir, "run").exists() is False


def test_one_mount_may_lie_in_another(data: Volume, host_folder: Path) -> None:
    both = [f"{host_folder}:/a/b", "data:/a"]  # in the wrong order, as people do
    with container("web", volumes=both) as box:
        box.start()
        assert says(box, "cat /a/b/page") == "one"


def test_a_link_in_the_image_leads_nowhere_outside(
    image: tuple[Path, str], host_folder: Path
) -> None:
    before = sorted(os.listdir("/etc"))
    with container("web", root=image, volumes=[f"{host_folder}:/trap/deep"]) as box:
        box.start()
        assert says(box, "cat /etc/deep/page") == "one"
    assert sorted(os.listdir("/etc")) == before


def test_a_killed_notebooks_container_uses_no_volume(data: Volume) -> None:
    def uses(linux: Linux) -> None:
        Volume.of("data").use("gone")
        assert data.users == ("gone",)

    with Plan(step(uses)).fork() as child:
        child.run()
    assert becomes_true(lambda: data.users == ())


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({"volumes": ["data:relative"]}, "absolute path"),
        ({"volumes": ["/a:/b:rx"]}, "'rx' is no option"),
        ({"volumes": ["/a:/x", "/b:/x"]}, "the second would hide the first"),
        ({"mounts": ["type=bind,source=x,target=/y"]}, "an absolute host path"),
        ({"mounts": ["type=nfs,target=/y"]}, "'nfs' is no type"),
        ({"tmpfs": ["run"]}, "absolute path"),
        ({"volumes": ["-bad:/x"]}, "becomes the name of a file"),
    ],
)
def test_what_can_not_be_understood_is_refused_before_anything_is_made(
    options: dict[str, list[str]], meaning: str
) -> None:
    before = ours()
    with pytest.raises(DocumentError) as refused:
        container("wrong", **options)
    assert meaning in refused.value.meaning
    assert ours() - before == set()
