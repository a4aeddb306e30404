"""A sweep: every combination of some settings' values, each an experiment with a name of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from ebm_tf.config import Experiment
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError

LARGEST = 1000
BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


class Point(NamedTuple):
    """One combination: the value of each setting as it was written, and the experiment."""

    values: dict[str, str]
    experiment: Experiment


def points(config: str, settings: Sequence[str], grid: Sequence[str]) -> list[Point]:
    """The experiments of a sweep, in the order in which the values were given, the last setting changing fastest.

    Args:
        config: path of a YAML file, or the name of a shipped config.
        settings: "section.key=value", the same for all.
        grid: "section.key=value,value,...".

    Raises:
        ConfigError: text of another form, a setting or a combination twice, a value that the setting does not take,
            more than `LARGEST` combinations.
    """
    axes: dict[str, list[str]] = {}
    for text in grid:
        key, values = _axis(text)
        if key in axes:
            raise ConfigError(f"--grid names {key} twice; give all its values at once")
        if any(text.partition("=")[0].strip() == key for text in settings):
            raise ConfigError(f"--set and --grid both name {key}; name it once")
        axes[key] = values
    if (count := _product(axes)) > LARGEST:
        raise ConfigError(f"--grid makes {count} combinations; {LARGEST} are the most")
    base = load_experiment(config, settings).name
    found: dict[str, Point] = {}
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination))
        parts = [f"{key}-{_in_a_name(value)}" for key, value in chosen.items()]
        name = "-".join([base, *parts])
        if name in found:
            told = " and ".join(_as_text(each) for each in (found[name].values, chosen))
            raise ConfigError(
                f"--grid: {told} would both be called {name}; give one of them with a run of its own"
            )
        overrides = [*settings, *(f"{key}={value}" for key, value in chosen.items()), f"name={name}"]
        found[name] = Point(chosen, load_experiment(config, overrides))
    return [*found.values()]


def _axis(text: str) -> tuple[str, list[str]]:
    """A setting and its values, from "section.key=value,value"."""
    key, equals, listed = text.partition("=")
    values = _split(listed)
    if not key.strip() or not equals or not all(values):
        raise ConfigError(
            f"--grid received {text!r}; give a setting and values: langevin.step_size=10,30,100"
        )
    if key.strip() == "name":
        raise ConfigError("--grid received name; each combination gets a name of its own")
    return key.strip(), values


def _split(listed: str) -> list[str]:
    """The parts between commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in listed:
        depth += BRACKETS.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _product(axes: dict[str, list[str]]) -> int:
    count = 1
    for values in axes.values():
        count *= len(values)
    return count


def _in_a_name(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", value.replace("+", "")).strip("_") or "_"


def _as_text(values: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())
