"""What code must not do with what it reads, told from its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Optional

PROGRAMS_IN_DISGUISE = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__"}
BUILTINS = ("", "builtins", "__builtins__")
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
    "model_from_json": "a Keras model can hold a program",
    "model_from_yaml": "a Keras model can hold a program",
    "deserialize_keras_object": "a Keras model can hold a program",
    "Lambda": "a Keras layer that is a program",
    "run_path": "it runs what it reads",
    "run_module": "it runs what it reads",
}
FUNCTIONS = {"torch.load": "it unpickles"}
"""By their whole names, as their last parts are those of harmless ones."""
READERS = {"read_array", "NpzFile"}
"""What NumPy's load is made of; open_memmap has no allow_pickle, and refuses objects."""
MAY_UNPICKLE = {"numpy.load", "numpy.lib.format.read_array", "numpy.lib.npyio.NpzFile"}
YAML_LOADS = {"yaml.load", "yaml.load_all"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}
LAX_LOADERS = {f"yaml.{kind}Loader" for kind in ("", "C", "Full", "CFull", "Unsafe", "CUnsafe")}
SHELLS = {
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "csh",
    "tcsh",
    "fish",
    "busybox",
    "cmd",
    "cmd.exe",
    "powershell",
    "pwsh",
}
RUNS_A_TEXT = re.compile(r"-[a-z]*c|/c|-command", re.IGNORECASE)


def offences(source: str, where: str = "") -> list[str]:
    """Each breach of the rules as "line N: what"; programs that are texts in the source are looked into, too."""
    tree = ast.parse(source)
    names = _imported(tree)
    safe = _safe_loaders(tree, names)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        for what in _of_node(node, names, safe, called):
            found.append(f"{where}line {node.lineno}: {what}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_program(node.value):
            found += offences(node.value, f"{where}line {node.lineno}, in a program that is a text, ")
    return found


def _of_node(node: ast.AST, names: dict[str, str], safe: set[str], called: set[int]) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.split(".")[0] in PROGRAMS_IN_DISGUISE:
                yield f"imports {module}"
    elif isinstance(node, ast.Call):
        yield from _of_call(node, names, safe)
    elif isinstance(node, (ast.Name, ast.Attribute)):
        full = _full(node, names)
        if full in LAX_LOADERS:
            yield f"{full}, which is no safe loader"
        if id(node) not in called and isinstance(node.ctx, ast.Load) and _is_forbidden(full, names):
            yield f"{full} under another name"
    if isinstance(node, (ast.Call, ast.List, ast.Tuple)):
        words = [_literal(part) for part in (node.args if isinstance(node, ast.Call) else node.elts)]
        for program, option in zip(words, words[1:]):
            if _is_shell(program) and isinstance(option, str) and RUNS_A_TEXT.fullmatch(option):
                yield f"{program} {option}: it is a shell"


def _of_call(call: ast.Call, names: dict[str, str], safe: set[str]) -> Iterator[str]:
    full, keywords = _full(call.func, names), {keyword.arg: keyword.value for keyword in call.keywords}
    module, _, last = full.rpartition(".")
    if last in CALLS and module in BUILTINS:
        yield f"calls {full}"
    if full == "importlib.import_module" and call.args:
        imported = str(_literal(call.args[0]))
        if imported.split(".")[0] in PROGRAMS_IN_DISGUISE:
            yield f"imports {imported}"
    ours = last == "extract" and isinstance(call.func, ast.Name)  # a function of features, as it happens
    if last in METHODS and full != last and not ours:
        yield f"calls {full}: {METHODS[last]}"
    if full in FUNCTIONS:
        yield f"calls {full}: {FUNCTIONS[full]}"
    if (full in MAY_UNPICKLE or last in READERS) and not _is_false(keywords.get("allow_pickle")):
        yield f"{full} without allow_pickle=False"
    elif "allow_pickle" in keywords and not _is_false(keywords["allow_pickle"]):
        yield f"{full} with allow_pickle"
    if full in YAML_LOADS:
        loader = keywords.get("Loader", call.args[1] if len(call.args) > 1 else None)
        if loader is None or _full(loader, names) not in safe:
            yield f"{full} without the safe loader"
    if "shell" in keywords and not _is_false(keywords["shell"]):
        yield f"{full} with shell"


def _is_forbidden(full: str, names: dict[str, str]) -> bool:
    """A function that is to be seen where it is called; of methods those of modules that are imported."""
    module, _, last = full.rpartition(".")
    if last in CALLS:
        return module in BUILTINS
    if last in METHODS:
        return module.split(".")[0] in {name.split(".")[0] for name in names.values()}
    return full in MAY_UNPICKLE | YAML_LOADS | FUNCTIONS.keys() or (module != "" and last in READERS)


def _safe_loaders(tree: ast.AST, names: dict[str, str]) -> set[str]:
    """Those of YAML, and the classes here that are made from such alone."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    lax = {
        node.name
        for node in classes
        if not node.bases or any(_full(base, names) not in SAFE_LOADERS for base in node.bases)
    }
    return SAFE_LOADERS | ({node.name for node in classes} - lax)


def _is_shell(program: object) -> bool:
    return isinstance(program, str) and program.rpartition("/")[2].lower() in SHELLS


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
