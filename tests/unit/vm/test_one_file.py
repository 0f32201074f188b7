"""Modules out of one file: the same ones as out of their own."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.vm import agents_imports
from labkit.vm.byte_code import in_the_cache
from labkit.vm.guest.one_file import IMPORTS, Code, imports_from
from labkit.vm.python_files import compile_all

PACKAGE = "labkit_one_file"
INIT = '"""A package."""\nNAME = __name__\n'
INNER = "from labkit_one_file import NAME\ndef said():\n    return NAME\n"


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A package that lies on no path of Python's."""
    root = tmp_path / PACKAGE
    root.mkdir()
    (root / "__init__.py").write_text(INIT)
    (root / "inner.py").write_text(INNER)
    yield root
    for name in [one for one in sys.modules if one.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def file(package: Path, tmp_path: Path) -> Path:
    """The file with the package's two modules."""
    modules = {
        PACKAGE: (str(package / "__init__.py"), True, compiled(package, "__init__")),
        f"{PACKAGE}.inner": (
            str(package / "inner.py"), False, compiled(package, "inner"),
        ),
    }  # fmt: skip
    written = tmp_path / "imports"
    written.write_bytes(marshal.dumps(modules))
    return written


def compiled(package: Path, name: str) -> bytes:
    """Return a module's byte code, marshalled."""
    path = package / f"{name}.py"
    return marshal.dumps(compile(path.read_text(), path, "exec"))


def test_a_module_from_the_file_is_the_one_of_its_source(
    file: Path, package: Path
) -> None:
    with imports_from(str(file)):
        inner = importlib.import_module(f"{PACKAGE}.inner")
    assert inner.said() == PACKAGE
    assert inner.__file__ == str(package / "inner.py")
    assert inspect.getsource(inner.said) == INNER.partition("\n")[2]
    assert sys.modules[PACKAGE].__path__ == [str(package)]


def test_no_source_is_read(file: Path, package: Path) -> None:
    for source in package.iterdir():
        source.unlink()
    with imports_from(str(file)):
        assert importlib.import_module(PACKAGE).NAME == PACKAGE


def test_a_changed_source_counts_when_it_is_loaded_again(
    file: Path, package: Path
) -> None:
    with imports_from(str(file)):
        loader = importlib.import_module(PACKAGE).__loader__
    assert isinstance(loader, Code)
    (package / "__init__.py").write_text("NAME = 'another'")
    found: dict[str, str] = {}
    exec(loader.get_code(PACKAGE) or "", found)
    assert found["NAME"] == "another"


def test_afterwards_python_looks_where_it_always_does(file: Path) -> None:
    with imports_from(str(file)):
        pass
    assert importlib.util.find_spec(PACKAGE) is None


def test_what_is_not_in_the_file_is_found_as_ever(file: Path) -> None:
    with imports_from(str(file)):
        spec = importlib.util.find_spec("this")
    assert spec is not None
    assert spec.origin == str(Path(inspect.__file__).with_name("this.py"))


def test_a_file_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    before = list(sys.meta_path)
    with imports_from(str(tmp_path / "none")):
        assert importlib.util.find_spec("this") is not None
    assert sys.meta_path == before


def test_the_image_gets_what_the_agent_imports(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    source = root / str(package / "inner.py").lstrip("/")
    source.parent.mkdir(parents=True)
    source.write_text(INNER)
    compile_all(root)
    inner = (f"{PACKAGE}.inner", str(package / "inner.py"), False)
    not_there = ("debugger", str(package / "debugger.py"), False)
    monkeypatch.setattr(agents_imports, "imported", lambda: [inner, not_there])
    agents_imports.add_imports(root)
    written = marshal.loads(Path(f"{root}{IMPORTS}").read_bytes())
    assert written == {inner[0]: (*inner[1:], in_the_cache(source))}
    assert written[inner[0]][2]


def test_the_agent_imports_a_kernel_and_the_first_chapters() -> None:
    names = {name for name, _, _ in agents_imports.imported()}
    assert {"ipykernel.kernelapp", "ipywidgets", "labkit.lab", "json"} <= names
