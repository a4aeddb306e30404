"""What code must not do with what it reads, told from its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Optional

PROGRAMS_IN_DISGUISE = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "load_model": "a Keras model can hold a program",
    "read_pickle": "it unpickles",
    "from_pickle": "it unpickles",
    "loads_pickle": "it unpickles",
    "unsafe_load": "any Python object can be in it",
    "full_load": "more than plain values can be in it",
    "unsafe_load_all": "any Python object can be in it",
    "full_load_all": "more than plain values can be in it",
    "extractall": "names in an archive may lead anywhere",
    "extract": "names in an archive may lead anywhere",
    "unpack_archive": "names in an archive may lead anywhere",
    "system": "it is a shell",
    "popen": "it is a shell",
    "getoutput": "it is a shell",
    "getstatusoutput": "it is a shell",
    "create_subprocess_shell": "it is a shell",
}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader"}


def offences(source: str, where: str = "") -> list[str]:
    """Each breach of the rules as "line N: what"; programs that are texts in the source are looked into, too."""
    tree = ast.parse(source)
    safe = SAFE_LOADERS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.bases and _last(node.bases[0]) in SAFE_LOADERS
    }
    names = _imported(tree)
    found = []
    for node in ast.walk(tree):
        for what in _of_node(node, names, safe):
            found.append(f"{where}line {node.lineno}: {what}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_program(node.value):
            found += offences(node.value, f"{where}line {node.lineno}, in a program that is a text, ")
    return found


def _of_node(node: ast.AST, names: dict[str, str], safe: set[str]) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.split(".")[0] in PROGRAMS_IN_DISGUISE:
                yield f"imports {module}"
    elif isinstance(node, ast.Call):
        yield from _of_call(node, names, safe)


def _of_call(call: ast.Call, names: dict[str, str], safe: set[str]) -> Iterator[str]:
    full, keywords = _full(call.func, names), {keyword.arg: keyword.value for keyword in call.keywords}
    if isinstance(call.func, ast.Name) and full in CALLS:
        yield f"calls {full}"
    if full == "importlib.import_module" and call.args and _literal(call.args[0]) in PROGRAMS_IN_DISGUISE:
        yield f"imports {_literal(call.args[0])}"
    last = full.rpartition(".")[2]
    ours = last == "extract" and isinstance(call.func, ast.Name)  # a function of features, as it happens
    if last in METHODS and full != last and not ours:
        yield f"calls {full}: {METHODS[last]}"
    if full == "numpy.load" and not _is_false(keywords.get("allow_pickle")):
        yield "numpy.load without allow_pickle=False"
    elif "allow_pickle" in keywords and not _is_false(keywords["allow_pickle"]):
        yield f"{full} with allow_pickle"
    if full in ("yaml.load", "yaml.load_all"):
        loader = keywords.get("Loader", call.args[1] if len(call.args) > 1 else None)
        if loader is None or _last(loader) not in safe:
            yield f"{full} without the safe loader"
    if "shell" in keywords and not _is_false(keywords["shell"]):
        yield f"{full} with shell"


def _imported(tree: ast.AST) -> dict[str, str]:
    """What the names that modules are imported under stand for, such as np for numpy and load for numpy.load."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _full(function: ast.expr, names: dict[str, str]) -> str:
    """The dotted name of what is called; what it is an attribute of is "?" where that has no name."""
    if isinstance(function, ast.Name):
        return names.get(function.id, function.id)
    if isinstance(function, ast.Attribute):
        return f"{_full(function.value, names)}.{function.attr}"
    return "?"


def _last(name: ast.expr) -> str:
    return name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else "?"


def _literal(value: ast.expr) -> Optional[object]:
    return value.value if isinstance(value, ast.Constant) else None


def _is_false(value: Optional[ast.expr]) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def _is_program(text: str) -> bool:
    if "import " not in text:
        return False
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree))
