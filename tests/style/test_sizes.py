"""Nothing is longer than a reader can hold in mind.

Aims are a function of 10 lines and a module of 150; here are the caps. What must be
longer stands in LONGER with its reason; a long sequence should become a list of steps.
"""

from __future__ import annotations

import ast

import pytest

from tests.style.sources import Function, Module, body_lines, modules

MODULE = 300
FUNCTION = 40
APPLY = 12  # of a step: it does one thing
PARAMETERS = 5
METHODS = 10
NESTING = 3
PACKAGE = 2_500  # lines of code, without their words: read in two days

NOT_TAUGHT = ("widgets", "course", "vm")
# path -> lines, and why
LONGER: dict[str, tuple[int, str]] = {}
# These classes are the list of system calls, one method for each.
LISTS_OF_CALLS = ("labkit/linux/",)

BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_is_read_in_one_sitting(module: Module) -> None:
    """Three hundred lines at most, with its docstrings."""
    cap, _ = LONGER.get(str(module), (MODULE, ""))
    assert len(module.text.splitlines()) <= cap


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_function_fits_on_a_screen(module: Module) -> None:
    """Forty lines at most beside its docstring, twelve for a step's apply()."""
    long = [
        f"{name}: {body_lines(function)} lines"
        for name, function in functions(module)
        if body_lines(function) > (APPLY if function.name == "apply" else FUNCTION)
    ]
    assert long == []


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_function_takes_few_things(module: Module) -> None:
    """Five at most: more than that is a value that has no name yet."""
    assert [n for n, f in functions(module) if parameters(f) > PARAMETERS] == []


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_function_is_not_nested_deeply(module: Module) -> None:
    """Three blocks inside one another at most."""
    assert [name for name, f in functions(module) if depth(f) > NESTING] == []


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_class_does_one_thing(module: Module) -> None:
    """Ten public methods at most."""
    if not str(module).startswith(LISTS_OF_CALLS):
        classes = [c for _, c in module.named() if isinstance(c, ast.ClassDef)]
        assert [c.name for c in classes if public_methods(c) > METHODS] == []


def test_a_package_is_read_in_two_days() -> None:
    """What it teaches, that is: without the views, the checks of exercises, the VM."""
    lines: dict[str, int] = {}
    for module in modules():
        if module.folder not in NOT_TAUGHT:
            lines[module.package] = lines.get(module.package, 0) + module.code_lines()
    assert {name: n for name, n in lines.items() if n > PACKAGE} == {}


def test_no_reason_is_left_for_a_module_that_is_gone() -> None:
    """And none for one that has become short."""
    lines = {str(module): len(module.text.splitlines()) for module in modules()}
    assert [path for path in LONGER if lines.get(path, 0) <= MODULE] == []


def functions(module: Module) -> list[tuple[str, Function]]:
    """Return the functions and methods of a module with their dotted names."""
    return [(n, f) for n, f in module.named() if not isinstance(f, ast.ClassDef)]


def parameters(function: Function) -> int:
    """Count what a caller passes."""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    return len([n for n in names if n not in ("self", "cls")] + arguments.kwonlyargs)


def public_methods(node: ast.ClassDef) -> int:
    """Count the methods that a user of the class calls; a property is a value."""
    methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
    called = [method for method in methods if not method.decorator_list]
    return len([method for method in called if not method.name.startswith("_")])


def depth(node: ast.AST) -> int:
    """Count the blocks inside one another; an elif is as deep as its if."""
    orelse = node.orelse if isinstance(node, ast.If) else []
    beside = orelse if len(orelse) == 1 and isinstance(orelse[0], ast.If) else []
    inside = [
        depth(child) for child in ast.iter_child_nodes(node) if child not in beside
    ]
    own = isinstance(node, BLOCKS) + max(inside, default=0)
    return max([own, *map(depth, beside)])
