"""Experiments from files: YAML laid over YAML, `--set` over both, and one line for whatever is wrong with it.

A config has the sections of `Experiment`; `extends: NAME` lays it over another one, beside it or shipped. Unknown
keys are refused with the nearest known name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Optional, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ebm_tf.config import Experiment, Section, leaves, range_of
from ebm_tf.errors import ConfigError, MissingInput

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs"
DEFAULT_CONFIG = "digits"


def available_configs() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted(CONFIG_FOLDER.glob("*.yaml"))}


def config_headline(path: Path) -> str:
    """The first comment line of a config: what it is."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def load_experiment(config: str | Path = DEFAULT_CONFIG, overrides: Sequence[str] = ()) -> Experiment:
    """Read a config, lay `overrides` ("section.key=value") over it, and check the whole.

    Args:
        config: path of a YAML file, or the name of a shipped config.
        overrides: values in YAML notation; later ones win.

    Raises:
        ConfigError: unknown key, wrong type, value out of range, YAML that cannot be read.
        MissingInput: there is no such file, or no weights in the folder of training.initial_model.
    """
    values = _read_chain(_find(config), seen=())
    for text in overrides:
        _override(values, text)
    return _with_content_of_initial_model(_validated(Experiment, values, where=str(config)))


def _with_content_of_initial_model(experiment: Experiment) -> Experiment:
    """Weights to start from are told apart by what they are, and not by where they lie alone."""
    training = experiment.training
    if training.initial_model is None:
        return experiment
    from ebm_tf.initial import pinned

    sha256 = pinned(training.initial_model, training.initial_sha256)
    known = training.model_copy(update={"initial_sha256": sha256})
    return experiment.model_copy(update={"training": known})


def section(name: str, values: Any) -> Any:
    """One checked section of `Experiment` (or a plain value such as the seed) from a slice of a config."""
    annotation = Experiment.model_fields[name].annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _validated(annotation, values, where=name, prefix=name)
    return values


def _find(config: str | Path) -> Path:
    known = available_configs()
    if str(config) in known:
        return known[str(config)]
    path = Path(config)
    if path.is_file():
        return path
    hint = _nearest(str(config), known)
    raise MissingInput(f"no config {str(config)!r}: give a YAML file, or one of {', '.join(known)}{hint}")


def _read_chain(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a config laid over those that it extends."""
    if path in seen:
        raise ConfigError(f"{path} extends itself by way of {' -> '.join(p.name for p in seen)}")
    values = _read_yaml(path)
    _find_members_beside(path, values)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    beside = path.parent / f"{parent}.yaml"
    parent_path = beside if beside.is_file() else available_configs().get(str(parent))
    if parent_path is None:
        shipped = ", ".join(available_configs())
        raise MissingInput(
            f"{path} extends {parent!r}, but there is no {beside}, nor one shipped ({shipped})"
        )
    return _merged(_read_chain(parent_path, (*seen, path)), values)


def _find_members_beside(path: Path, values: dict[str, Any]) -> None:
    """Members of a composition may name configs beside this one, as `extends` may; shipped ones keep their name."""
    compose = values.get("compose")
    members = compose.get("members") if isinstance(compose, dict) else None
    for member in members if isinstance(members, list) else ():
        name = member.get("config") if isinstance(member, dict) else None
        if isinstance(name, str) and (beside := path.parent / f"{name}.yaml").is_file():
            shipped = available_configs().get(name)
            member["config"] = name if beside.resolve() == shipped else str(beside.absolute())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(f"cannot read {path}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{where}: not YAML that can be read ({problem})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: received a {type(values).__name__}; a config is a mapping of sections")
    return values


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, strict where it is lax: no aliases (one could hold itself), no key twice."""

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        """As the parent does, but refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not taken here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the parent does, but refuse a key that comes twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} comes twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 2e-4 for text; people mean a number. What is quoted stays text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"),
    list("-+.0123456789"),
)


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def _merged(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], text: str) -> None:
    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set received {text!r}; give section.key=value, for example langevin.steps=40")
    try:
        value = _parse(raw)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {path}: the value {raw!r} is not YAML that can be read") from error
    *parents, key = path.strip().split(".")
    for parent in parents:
        inner = values.get(parent)
        values[parent] = dict(inner) if isinstance(inner, dict) else {}
        values = values[parent]
    values[key] = value


def _validated(model: type[BaseModel], values: Any, where: str, prefix: str = "") -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(problem, prefix) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(problems)) from error


def _problem(problem: Any, prefix: str) -> str:
    """One pydantic complaint as a phrase: what was received, what is allowed."""
    place = (prefix, *problem["loc"]) if prefix else problem["loc"]
    path, listed = ".".join(map(str, place)), any(isinstance(part, int) for part in place)
    if problem["type"] == "extra_forbidden":
        hint = _nearest(str(place[-1]), _fields_at(place)) if listed else _known_key(path)
        return f"unknown key {path!r}{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    field = _fields_at(place).get(str(place[-1])) if place else None
    allowed = range_of(field) if field else ""
    quoting = _quoting(problem["input"], None if listed else path) if allowed == "str" else ""
    if problem["type"] == "value_error":
        if field and message.startswith(f"{place[-1]} received"):
            return f"{path}{message.removeprefix(str(place[-1]))}{quoting}"
        return f"{path}: {message}" if listed else message
    return f"{path} received {problem['input']!r}: {message[0].lower()}{message[1:]}" + (
        f" (allowed: {allowed}){quoting}" if allowed else ""
    )


def _fields_at(place: Sequence[str | int]) -> dict[str, FieldInfo]:
    """The fields of the section, alone or in a list, that the last part of a path is in; none of plain lists."""
    model: Optional[type[Section]] = Experiment
    for part in place[:-1]:
        if isinstance(part, str) and model is not None:
            model = _section_in(model.model_fields[part].annotation)
    return model.model_fields if model is not None else {}


def _section_in(annotation: Any) -> Optional[type[Section]]:
    """The section that a field is, or holds a list of."""
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, Section):
            return choice
    return None


def _known_key(path: str) -> str:
    """What may have been meant by an unknown key outside of lists."""
    known = dict(leaves(Experiment))
    if same := [name for name in known if name.rpartition(".")[2] == path.rpartition(".")[2]]:
        return _meant(same) if "." in path else f"; it is part of a section: {', '.join(same)}"
    siblings = [name for name in known if name.rsplit(".", 1)[0] == path.rsplit(".", 1)[0]]
    pool = siblings if "." in path and siblings else [*Experiment.model_fields, *known]
    return _nearest(path, pool) or _nearest(path, known)


def _quoting(value: Any, path: Optional[str]) -> str:
    """How to give a text that YAML takes for a number, a date or a truth."""
    if not isinstance(value, (int, float, date)):
        return ""
    text = f'"{str(value).lower() if isinstance(value, bool) else value}"'
    return f"; if text is meant, quote it: {text}" + (f" in a file, --set {path}='{text}'" if path else "")


def _nearest(word: str, known: Any) -> str:
    return _meant(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5))


def _meant(names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""
