"""Code taken from a file by its name, so that a page can show it and cannot show what is no longer there."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import NamedTuple, Union

Definition = Union[ast.FunctionDef, ast.ClassDef]


class Quote(NamedTuple):
    """Lines of a file: the number of the first (from 1), and the text, with nothing in front of its left edge."""

    line: int
    code: str


class NotThere(Exception):
    """A file has no such name. The text is one line: what was asked for, and what there is."""


def quote(path: Path, name: str) -> Quote:
    """What `name` stands for in a Python file, without its docstring.

    Args:
        name: a function, a class or a constant of the file; `Class.method`; or `function.variable`: the statements
            of the function that give that variable a value.

    Raises:
        NotThere: the file has none.
    """
    text = path.read_text(encoding="utf-8")
    scope: ast.AST = ast.parse(text)
    found: list[ast.stmt] = []
    for part in name.split("."):
        found = _definitions(scope, part) or _assignments(scope, part)
        if not found:
            known = ", ".join(sorted(names_of(path)))
            raise NotThere(f"{path.name} has no {name}; give one of {known}, or a variable in one of them")
        scope = found[0]
    lines = text.splitlines()
    if isinstance(found[0], (ast.FunctionDef, ast.ClassDef)):
        first, kept = _without_docstring(found[0], lines)
    else:
        first = found[0].lineno
        kept = [line for each in found for line in _lines(each, lines)]
    return Quote(first, textwrap.dedent("\n".join(kept)).strip("\n"))


def names_of(path: Path) -> list[str]:
    """The functions, classes and methods of a Python file, in its order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            found += [
                f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)
            ]
    return found


def _definitions(scope: ast.AST, name: str) -> list[ast.stmt]:
    """The function or class of a name; a function within a function counts."""
    return [
        node
        for node in getattr(scope, "body", [])
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
    ]


def _assignments(scope: ast.AST, name: str) -> list[ast.stmt]:
    """The statements that give a variable a value, in the order of the file."""
    within = ast.walk(scope) if isinstance(scope, ast.FunctionDef) else getattr(scope, "body", [])
    found = [node for node in within if isinstance(node, ast.stmt) and name in _assigned(node)]
    return sorted(found, key=lambda node: node.lineno)


def _assigned(node: ast.stmt) -> set[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    inner = [each for target in targets for each in ast.walk(target)]
    return {each.id for each in inner if isinstance(each, ast.Name)}


def _without_docstring(node: Definition, lines: list[str]) -> tuple[int, list[str]]:
    """First line and lines of a definition, its decorators among them."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = lines[first - 1 : node.end_lineno]
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        string = node.body[0]
        del kept[string.lineno - first : (string.end_lineno or string.lineno) - first + 1]
    return first, kept


def _lines(node: ast.stmt, lines: list[str]) -> list[str]:
    return [*textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])).splitlines()]
