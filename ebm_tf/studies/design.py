"""Which trainings the studies compare: an experiment with the settings changed that a study is about, by seeds.

Two studies that ask for the same case ask for the same training. No TensorFlow here: the pipeline plans by this, and
the stages read what came of it by the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ebm_tf.config import Langevin, Studies
from ebm_tf.errors import ConfigError

Settings = dict[str, Any]
"""An experiment as nested mappings."""

TERMS: dict[str, tuple[str, ...]] = {
    "with L_KL": (),
    "without L_KL": ("kl", "entropy"),
    "L_opt alone": ("entropy",),
    "L_ent alone": ("kl",),
}
"""By what people call it: the coefficients of the loss that are set to 0."""
WITH, WITHOUT, OPT, ENT = TERMS


class Case(NamedTuple):
    """One way of training: which terms of L_KL there are, where chains start, and how many of their last steps L_KL
    is differentiated through, of how many."""

    terms: str
    start: str = "replay"
    tail: int = 1
    steps: int = 1

    @property
    def title(self) -> str:
        """What people call it."""
        parts = [self.terms]
        if self.start == "noise":
            parts.append("chains from noise")
        if self.tail > 1:
            parts.append("all steps" if self.tail == self.steps else f"last {self.tail} steps")
        return ", ".join(parts)

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """The settings that it names, by section."""
        return {
            "loss": dict.fromkeys(TERMS[self.terms], 0.0),
            "langevin": {"init": self.start, "backprop_steps": self.tail},
        }


def of_noise_init(langevin: Langevin, studies: Studies) -> tuple[Case, ...]:
    """S D.1: with and without L_KL, of chains from noise and from the buffer."""
    return tuple(Case(terms, start) for start in ("noise", "replay") for terms in (WITH, WITHOUT))


def of_truncation(langevin: Langevin, studies: Studies) -> tuple[Case, ...]:
    """S D.2: L_KL through the last step, the last m steps, all steps."""
    between, steps = middle_steps(langevin, studies), langevin.steps
    return tuple(Case(WITH, "replay", tail, steps) for tail in (1, between, steps))


def of_collapse(langevin: Langevin, studies: Studies) -> tuple[Case, ...]:
    """S D.3: with both terms of L_KL, either, neither."""
    return tuple(map(Case, TERMS))


STUDIES: dict[str, Callable[[Langevin, Studies], tuple[Case, ...]]] = {
    "StudyNoiseInit": of_noise_init,
    "StudyTruncation": of_truncation,
    "StudyCollapse": of_collapse,
}
"""By task: its cases."""


def middle_steps(langevin: Langevin, studies: Studies) -> int:
    """m of the training between the last step alone and all steps."""
    return langevin.steps // 2 if studies.last_steps is None else studies.last_steps


def demand_possible(study: str, experiment: Mapping[str, Any]) -> None:
    """Refuse an experiment in which the cases of a study are not different ones.

    Raises:
        ConfigError: the text says which setting is in the way.
    """
    loss, langevin = experiment["loss"], Langevin(**experiment["langevin"])
    if study == "StudyTruncation":
        between = middle_steps(langevin, Studies(**experiment["studies"]))
        if not 1 < between < langevin.steps:
            raise ConfigError(
                f"StudyTruncation trains through the last step, the last {between} (studies.last_steps) and all "
                f"{langevin.steps} (langevin.steps): give studies.last_steps between 2 and {langevin.steps - 1}, or "
                "longer chains"
                if langevin.steps > 2
                else f"StudyTruncation needs chains of 3 steps or more; received langevin.steps={langevin.steps}"
            )
    off = [f"loss.{term}" for term in TERMS[WITHOUT] if not loss[term]]
    if off:
        raise ConfigError(
            f"{study} sets trainings with L_KL beside others, and {' and '.join(off)} is 0: give both of "
            "loss.kl and loss.entropy a value above 0; the study takes them out itself"
        )


def trainings(study: str, experiment: Mapping[str, Any]) -> Iterator[tuple[Case, int]]:
    """The cases of a study with each seed, case by case.

    Args:
        experiment: sections by name, as JSON has them; langevin and studies are enough.
    """
    langevin, studies = Langevin(**experiment["langevin"]), Studies(**experiment["studies"])
    for case in STUDIES[study](langevin, studies):
        for seed in studies.seeds:
            yield case, seed


def called(title: str, seed: int | str) -> str:
    """What a training of the case of a title is called, as input and in titles."""
    return f"{title}, seed {seed}"


class Named(NamedTuple):
    """The names under which the stage of a study knows a training, and what it came to."""

    training: str
    judged: str


def inputs_of(training: str) -> Named:
    """Those of a training that is `called` so."""
    return Named(f"{training}: training", f"{training}: judged")


def as_trained(experiment: Mapping[str, Any], case: Case, seed: int) -> Settings:
    """The experiment of one training: that of a user, with the case's settings, the seed, and what all have alike."""
    studies = Studies(**experiment["studies"])
    steps = studies.training_steps or experiment["training"]["steps"]
    alike: dict[str, dict[str, Any]] = {
        "training": {"steps": steps},
        "selection": {"every": math.ceil(steps / studies.evaluations)},
        "health": {"rollbacks": 0, "on_divergence": "keep"},
        "sampling": {"source": "ebm", "weights": "average", "shard_size": None},
    }
    changed = {**experiment, "seed": seed}
    for changes in (alike, case.changes):
        for section, values in changes.items():
            changed[section] = {**changed[section], **values}
    return changed
