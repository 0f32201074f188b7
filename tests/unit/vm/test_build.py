"""What a VM starts from: archives, the kernel, modules, byte code, files."""

from __future__ import annotations

import lzma
import marshal
import mmap
import os
import stat
import struct
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from labkit.errors import HostError
from labkit.packages.apt import Apt
from labkit.vm import build, cpio
from labkit.vm.byte_code import unchecked
from labkit.vm.file_closure import Closure
from labkit.vm.guest.one_file import LABKIT
from labkit.vm.initramfs import code_part, code_stamp
from labkit.vm.kernel_image import unpack_kernel
from labkit.vm.modules import (
    KernelModule,
    in_load_order,
    index,
    without_sections,
    without_signature,
)
from labkit.vm.python_files import distributions
from labkit.vm.settings import Settings
from labkit.vm.sparse import copy, hollow


def test_an_archive_holds_what_was_put_in() -> None:
    members = [cpio.directory("a"), cpio.file("a/b", b"text", 0o755)]
    listed = entries(cpio.archive(members))
    assert listed == [
        ("a", stat.S_IFDIR | 0o755, b""),
        ("a/b", stat.S_IFREG | 0o755, b"text"),
        ("TRAILER!!!", 0, b""),
    ]


def test_two_archives_one_behind_the_other_are_read_in_turn() -> None:
    both = cpio.archive([cpio.file("a", b"1")]) + cpio.archive([cpio.file("b", b"2")])
    assert [name for name, _, _ in entries(both) if name != "TRAILER!!!"] == ["a", "b"]


def test_the_kernel_is_found_in_its_boot_file(tmp_path: Path) -> None:
    kernel = b"\x7fELF" + b"kernel" * 1000
    vmlinuz = tmp_path / "vmlinuz"
    vmlinuz.write_bytes(boot_file(lzma.compress(kernel)))
    assert unpack_kernel(vmlinuz) == kernel


def test_a_kernel_packed_in_an_unknown_way_is_refused(tmp_path: Path) -> None:
    vmlinuz = tmp_path / "vmlinuz"
    vmlinuz.write_bytes(boot_file(b"unheard of"))
    with pytest.raises(HostError, match="LABKIT_VM_KERNEL"):
        unpack_kernel(vmlinuz)


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    for name, needs in (("top", "middle,other-one"), ("middle", "bottom"),
                        ("bottom", ""), ("other_one", "bottom")):  # fmt: skip
        (tmp_path / f"{name}.ko").write_bytes(b"\0depends=" + needs.encode() + b"\0")
    order = [module.name for module in in_load_order(tmp_path, ("top", "built_in"))]
    assert order == ["bottom", "middle", "other_one", "top"]


def test_packed_modules_are_unpacked(tmp_path: Path) -> None:
    plain = b"\0depends=\0"
    (tmp_path / "a.ko.xz").write_bytes(lzma.compress(plain))
    assert [module.content for module in in_load_order(tmp_path, ("a",))] == [plain]


def test_a_module_loses_its_signature_and_nothing_else() -> None:
    signature = b"\x30\x82 and so on"
    about = bytes(8) + len(signature).to_bytes(4, "big")
    signed = b"\x7fELF..." + signature + about + b"~Module signature appended~\n"
    assert without_signature(signed) == b"\x7fELF..."
    assert without_signature(b"\x7fELF...") == b"\x7fELF..."


def test_what_modprobe_reads_names_needs_and_aliases() -> None:
    modules = [
        KernelModule("bottom", b"\0depends=\0"),
        KernelModule("middle", b"\0alias=fs-middle\0alias=fs-*\0depends=bottom\0"),
        KernelModule("top", b"\0depends=built-in,bottom,middle\0"),
    ]
    assert index(modules) == {
        "modules.dep": "bottom.ko:\nmiddle.ko: bottom.ko\n"
        "top.ko: middle.ko bottom.ko\n",
        "modules.alias": "alias fs-middle middle\nalias fs-* middle\n",
    }


def test_a_bridges_filter_comes_with_the_bridge() -> None:
    modules = [KernelModule("br_netfilter", b"\0depends=\0")]
    assert "alias rtnl-link-bridge br_netfilter\n" in index(modules)["modules.alias"]


def test_a_section_loses_its_name_and_nothing_else() -> None:
    program = Path(sys.executable).read_bytes()
    changed = without_sections(program, (b".text", b".data"))
    before, after = section_names(program), section_names(changed)
    assert {".text", ".data", ".bss"} <= set(before)
    gone = [name if name not in (".text", ".data") else "" for name in before]
    assert after == gone


def section_names(program: bytes) -> list[str]:
    """Return the names of an ELF file's sections, one of them the names' own."""
    table, size, count, names = struct.unpack_from("<40xQ10xHHH", program)
    rows = [
        struct.unpack_from("<I20xQ", program, table + n * size) for n in range(count)
    ]
    text = program[rows[names][1] :]
    return [text[start : text.index(b"\0", start)].decode() for start, _ in rows]


def test_a_package_without_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="without its modules"):
        in_load_order(tmp_path)


@pytest.mark.parametrize("cached", [True, False])
def test_byte_code_is_loaded_without_its_source(tmp_path: Path, cached: bool) -> None:
    source = tmp_path / "said.py"
    source.write_text("WORD = 'well'\n")
    if cached:
        subprocess.run([sys.executable, "-m", "py_compile", source], check=True)
    code = unchecked(source)
    assert struct.unpack_from("<I", code, 4) == (1,)
    found: dict[str, object] = {}
    exec(marshal.loads(code[16:]), found)
    assert found["WORD"] == "well"


def test_stale_byte_code_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "said.py"
    source.write_text("WORD = 'before'\n")
    subprocess.run([sys.executable, "-m", "py_compile", source], check=True)
    source.write_text("WORD = 'afterwards'\n")
    found: dict[str, object] = {}
    exec(marshal.loads(unchecked(source)[16:]), found)
    assert found["WORD"] == "afterwards"


def test_a_closure_keeps_every_link_on_the_way(tmp_path: Path) -> None:
    machine, root = tmp_path / "machine", tmp_path / "root"
    (machine / "usr/bin").mkdir(parents=True)
    (machine / "usr/bin/mawk").write_text("a program")
    (machine / "alternatives").symlink_to(machine / "usr/bin/mawk")
    (machine / "bin").symlink_to("usr/bin")
    (machine / "usr/bin/awk").symlink_to(machine / "alternatives")
    assert Closure(root).add(machine / "bin/awk")
    copied = Path(f"{root}{machine}")
    assert os.readlink(copied / "bin") == "usr/bin"
    assert os.readlink(copied / "usr/bin/awk") == str(machine / "alternatives")
    assert (copied / "usr/bin/mawk").read_text() == "a program"


def test_a_closure_has_the_libraries_of_its_programs(tmp_path: Path) -> None:
    closure = Closure(tmp_path)
    closure.add("/bin/sh")
    closure.add_libraries()
    assert [path for path in tmp_path.rglob("libc.so*") if not path.is_symlink()]


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert not Closure(tmp_path).add("/no/such/program")


def test_the_packages_of_a_kernel_are_there_and_no_server() -> None:
    names = {one.metadata["Name"].lower() for one in distributions(("labkit",))}
    assert {"labkit", "ipykernel", "ipywidgets", "traitlets", "psutil"} <= names
    assert not names & {"jupyterlab", "jupyter-server", "debugpy"}


def test_labkits_code_is_in_the_archive_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("1")
    names = [name for name, _, _ in entries(code_part(tmp_path))]
    assert f"layer{tmp_path}/module.py" in names
    assert [name for name in names if name.endswith(".pyc")]


def test_labkits_byte_code_is_in_one_file_too(tmp_path: Path) -> None:
    package = tmp_path / "course"
    (package / "tasks").mkdir(parents=True)
    for name in ("__init__", "card", "tasks/__init__"):
        (package / f"{name}.py").write_text(f"WHERE = {name!r}")
    [data] = [data for name, _, data in entries(code_part(package)) if LABKIT in name]
    found = {}
    for name, (path, is_package, code) in marshal.loads(data).items():
        said: dict[str, str] = {}
        exec(marshal.loads(code), said)
        assert path == str(package / f"{said['WHERE']}.py")
        found[name] = is_package
    assert found == {"course": True, "course.card": False, "course.tasks": True}


def test_labkits_code_is_compiled_once(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("1")
    code_part(tmp_path)
    assert len(list(tmp_path.glob("__pycache__/module.*.pyc"))) == 1


def test_a_change_of_the_code_is_seen(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("1")
    before = code_stamp(tmp_path)
    assert code_stamp(tmp_path) == before
    (tmp_path / "module.py").write_text("22")
    assert code_stamp(tmp_path) != before


def test_a_copy_has_the_holes_of_its_original(tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    with open(original, "wb") as file:
        file.truncate(1 << 26)
        file.seek(1 << 20)
        file.write(b"in the middle")
    copy(original, copied)
    assert copied.read_bytes() == original.read_bytes()
    assert copied.stat().st_blocks <= original.stat().st_blocks + 256


def test_a_hollow_file_has_its_size_and_nothing_in_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as m,
    ):
        hollow(path)
        assert m[:] == bytes(100_000)  # and no SIGBUS
    assert (path.stat().st_size, path.stat().st_blocks) == (100_000, 0)


def test_an_interpreter_is_the_same_under_each_of_its_names(tmp_path: Path) -> None:
    venv.create(tmp_path, symlinks=True)
    code = "from labkit.vm import places; print(places.interpreter())"
    path = os.pathsep.join(sys.path)
    said = {
        subprocess.check_output(
            [tmp_path / "bin" / name, "-c", code], env={"PYTHONPATH": path}
        )
        for name in ("python", "python3")
    }
    assert said == {f"{tmp_path}/bin/python3\n".encode()}


def test_apt_without_a_mirror_says_so(tmp_path: Path) -> None:
    apt = Apt(tmp_path, "deb http://127.0.0.1:9 none main")
    with pytest.raises(HostError, match="LABKIT_VM_APT"):
        apt.update()


def test_no_chapter_pays_for_what_it_does_not_use() -> None:
    code = (
        "import sys; from labkit.vm.guest import zygote; left = zygote.import_all();"
        "print(left, sorted({'matplotlib', 'nbformat', 'pytest'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def entries(data: bytes) -> list[tuple[str, int, bytes]]:
    """Read an archive: (name, mode, content) of each entry."""
    found, at = [], 0
    while at < len(data):
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = numbers[1], numbers[6], numbers[11]
        name = data[at + 110 : at + 109 + length].decode()
        start = at + 110 + length + -(110 + length) % 4
        found.append((name, mode, data[start : start + size]))
        at = start + size + -size % 4
    return found


def boot_file(payload: bytes) -> bytes:
    """Return a vmlinuz with one setup sector and a payload."""
    head = bytearray(1024)
    head[0x1F1] = 1
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + b"\0" * 16 + payload


def test_what_a_killed_build_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))
    (tmp_path / "vm/.build-killed/root").mkdir(parents=True)
    nowhere = Settings(sources="deb http://127.0.0.1:9/ nowhere main")
    with pytest.raises(HostError):
        build.build(nowhere, lambda line: None)
    assert list((tmp_path / "vm").iterdir()) == []
