"""A docstring is a page of the manual: what it does to Linux, and what can go wrong.

    Sentence.           what changes in the kernel, and for whom
    Raises:             the errnos that a learner will meet, with their meaning here
    Needs:              the capability, and in which namespace it must be held
    Kernel:             the man pages, and since which release

A step may say the last two as facts of its class, `needs` and `man`, because a plan
prints those.
"""

from __future__ import annotations

import ast

import pytest

from tests.style.sources import Function, Module, is_public, modules

TAUGHT = [*modules("linux"), *modules("primitives")]
# A method with one of these names does what its class's page says.
TOLD_BY_ITS_CLASS = ("apply", "describe", "remove", "text", "to_json")


@pytest.mark.parametrize("module", modules(), ids=str)
def test_the_first_line_is_a_sentence(module: Module) -> None:
    """It ends with a full stop; what is public in linux/ and primitives/ has one."""
    found = {name: first_line(node) for name, node in public_names(module)}
    wrong = [
        name
        for name, line in found.items()
        if not line.endswith((".", "?", ":")) and (line or module in TAUGHT)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", modules("linux"), ids=str)
def test_a_system_call_has_its_page(module: Module) -> None:
    """All parts, even when one says: nothing."""
    calls = [row for row in public_names(module) if calls_the_kernel(row[1])]
    assert {n: missing for n, node in calls if (missing := missing_parts(node))} == {}


@pytest.mark.parametrize("module", modules("primitives"), ids=str)
def test_a_primitive_has_its_page(module: Module) -> None:
    """A step, or a function that is given linux."""
    acting = [row for row in public_names(module) if acts(row[1])]
    assert {n: missing for n, node in acting if (missing := missing_parts(node))} == {}


@pytest.mark.parametrize("module", modules("primitives"), ids=str)
def test_a_primitive_names_its_chapter(module: Module) -> None:
    """Module and chapter lead to each other."""
    assert "chapter" in (ast.get_docstring(module.tree) or "").lower()


def public_names(module: Module) -> list[tuple[str, ast.ClassDef | Function]]:
    """Return what a module offers; a property's name says what it is."""
    return [
        (name, node)
        for name, node in module.named()
        if is_public(f"{module.path.stem}.{name}")
        and node.name not in TOLD_BY_ITS_CLASS
        and not (isinstance(node, Function) and node.decorator_list)
    ]


def first_line(node: ast.ClassDef | Function) -> str:
    """Return the first paragraph of a docstring on one line."""
    return (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")


def missing_parts(node: ast.ClassDef | Function) -> list[str]:
    """Return the fixed parts that a docstring lacks."""
    docstring = ast.get_docstring(node) or ""
    facts = class_facts(node)
    said = {"Raises:": False, "Needs:": "needs" in facts, "Kernel:": "man" in facts}
    return [part for part in said if part not in docstring and not said[part]]


def class_facts(node: ast.ClassDef | Function) -> set[str]:
    """Return the names that a class's body gives a value."""
    targets: list[ast.expr] = []
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value:
            targets.append(statement.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}


def calls_the_kernel(node: ast.ClassDef | Function) -> bool:
    """Say whether this is a function that hands a call to the one error path."""
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    to_kernel = any(isinstance(f, ast.Attribute) and f.attr == "_call" for f in calls)
    return isinstance(node, Function) and to_kernel


def acts(node: ast.ClassDef | Function) -> bool:
    """Say whether this is a step, or a function that is given linux first."""
    if isinstance(node, ast.ClassDef):
        methods = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
        return "apply" in methods
    return [argument.arg for argument in node.args.args][:1] == ["linux"]
