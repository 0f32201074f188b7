"""Every name is a word of the kernel's, of a specification, or of the lab's own four.

And three questions are asked in one place each: who am I, which cgroup version is
this, which Python is this. Everywhere else a value carries the answer.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.style.sources import PROJECT, Module, modules

# A thing with such a name has another one: find it.
EMPTY_WORDS = {
    "data2", "factory", "handler", "helper", "helpers", "manager", "mgr", "obj", "res",
    "tmp", "util", "utils", "wrapper",
}  # fmt: skip
# A file with such a name has no subject.
EMPTY_FILES = EMPTY_WORDS | {"base", "common", "misc", "shared"}

# words (a pattern) -> the files that may have them, and why only those
ALLOWED: dict[str, tuple[set[str], str]] = {
    r"\bgete?uid\b|\bgetresuid\b": (
        {"labkit/host/", "labkit/linux/"},
        "who we are is a fact of the Host; linux/ has the call itself",
    ),
    r"cgroup\.controllers": (
        {"labkit/host/", "labkit/primitives/cgroups/"},
        "which cgroup version this is, the probe finds out",
    ),
    r"\bv[12]\b|\brootless\b": (
        {
            "labkit/host/",
            "labkit/doctor/",
            "labkit/primitives/cgroups/",
            "labkit/hints.py",
            "labkit/runtime/oci/features.py",  # the specification's names
            "labkit/course/tasks/registries.py",  # a registry's paths begin so
            "labkit/course/tasks/rolling_back.py",
            "labkit/image/media_types.py",  # their names end in it
            "labkit/runtime/oci/",  # runc's options have such names
            "labkit/runtime/spec/",
            "labkit/registry/",  # each of its requests has /v2/ in its path
        },
        "the versions differ in one table, and a plan differs in its steps",
    ),
    r"sys\.version_info|platform\.(release|uname)|os\.uname": (
        {"labkit/host/", "labkit/linux/table.py"},
        "which Linux this is, the probe finds out; a call's number needs the machine",
    ),
    r"\bsubprocess\b|\bos\.(fork|exec\w*|spawn\w*|posix_spawn\w*)\b": (
        {
            "labkit/host/",
            "labkit/linux/",
            "labkit/loads/",  # a program of its own, which a plan starts
            "labkit/network/",  # nft, and the network's own process
            "labkit/packages/",
            "labkit/plan/",
            "labkit/rootfs",
            "labkit/runtime/",  # the fork server forks monitors
            "labkit/vm/",
        },
        "processes start as steps of a plan; the VM is none of the lab's containers",
    ),
    r"shell=True|os\.system|os\.popen": (set(), "no shell does the work unseen"),
    r"\bTODO\b|\bFIXME\b|\bXXX\b": (set(), "a comment says why, not what is missing"),
}


@pytest.mark.parametrize("module", modules(), ids=str)
def test_no_name_is_empty(module: Module) -> None:
    """No manager, no helper, no util: those say nothing about the thing."""
    found = {n for n in names_made(module) if EMPTY_WORDS & set(words(n))}
    assert found == set()


@pytest.mark.parametrize("pattern", ALLOWED)
def test_a_question_is_asked_in_one_place(pattern: str) -> None:
    """The reason is in the message when it is asked elsewhere, too."""
    places, reason = ALLOWED[pattern]
    found = [str(m) for m in modules() if re.search(pattern, code_of(m))]
    elsewhere = [path for path in found if not path.startswith(tuple(places))]
    assert elsewhere == [], reason


def test_no_file_of_the_project_has_an_empty_name() -> None:
    """Tests and notebooks included."""
    folders = ("labkit", "tests", "notebooks", "solutions", "binder")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*")]
    assert [p for p in files if EMPTY_FILES & set(words(Path(p).stem))] == []


def names_made(module: Module) -> set[str]:
    """Return every name that a module gives: to classes, arguments, variables."""
    made = {name.rpartition(".")[2] for name, _ in module.named()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    return made


def words(name: str) -> list[str]:
    """Split snake_case and CamelCase: ["pivot", "root"]."""
    return re.findall(r"[a-z0-9]+", re.sub(r"([A-Z])", r"_\1", name).lower())


def code_of(module: Module) -> str:
    """Return the source without docstrings; words may be explained anywhere."""
    docstrings = [
        node.value.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    text = module.text
    for docstring in docstrings:
        text = text.replace(docstring, "")
    return text
