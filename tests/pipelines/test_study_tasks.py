"""What the studies stand on: which trainings they share, when they are listed, what is refused before a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.config import Experiment
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from pipelines.running import links
from pipelines.tasks import (
    EvaluateOOD,
    ReproducePaper,
    StudyCollapse,
    StudyNoiseInit,
    StudyTruncation,
    TrainEBM,
)
from pipelines.trees import all_tasks, check, tree
from tests.pipelines.built import build_all

BASE = load_experiment("digits")
STUDIES = (StudyNoiseInit, StudyTruncation, StudyCollapse)


def trained_by(task: type, experiment: Experiment = BASE) -> dict[str, Any]:
    """The settings of each training of a task, by its title."""
    steps = tree(task.of(experiment, Path("/r")))
    return {step.title: step.settings for step in steps if step.name() == "TrainEBM"}


def test_a_case_that_several_studies_ask_for_is_trained_once() -> None:
    alone = [len(trained_by(study)) for study in STUDIES]
    together = len(trained_by(ReproducePaper))
    assert alone == [4 * 3, 3 * 3, 4 * 3]
    assert together == 8 * 3 + 1  # 11 cases of which 3 are twice or thrice the same; and the main model
    shared = set.intersection(*(set(trained_by(study)) for study in STUDIES))
    assert shared == {f"TrainEBM (with L_KL, seed {seed})" for seed in (0, 1, 2)}


def test_trainings_of_a_study_differ_in_what_it_is_about_and_nothing_else() -> None:
    found = trained_by(StudyCollapse)
    weights = {title: (each["loss"]["kl"], each["loss"]["entropy"]) for title, each in found.items()}
    expected = {"with L_KL": (1, 0.3), "without L_KL": (0, 0), "L_opt alone": (1, 0), "L_ent alone": (0, 0.3)}
    assert weights == {
        f"TrainEBM ({case}, seed {seed})": both for case, both in expected.items() for seed in (0, 1, 2)
    }
    rest = [{**each, "loss": None, "seed": None} for each in found.values()]
    assert all(each == rest[0] for each in rest)
    tails = {each["langevin"]["backprop_steps"] for each in trained_by(StudyTruncation).values()}
    assert tails == {1, 10, 20}
    starts = [each["langevin"]["init"] for each in trained_by(StudyNoiseInit).values()]
    assert (starts.count("noise"), starts.count("replay")) == (6, 6)


def test_what_all_trainings_have_alike() -> None:
    short = load_experiment("digits", ["studies.training_steps=70", "studies.evaluations=3"])
    for settings in trained_by(StudyNoiseInit, short).values():
        assert settings["training"]["steps"] == 70
        assert settings["selection"]["every"] == 24  # 24, 48, and the last step
        assert (settings["health"]["rollbacks"], settings["health"]["on_divergence"]) == (0, "keep")
    long = Experiment(training={"steps": 70})
    assert all(each["training"]["steps"] == 70 for each in trained_by(StudyCollapse, long).values())


def test_another_m_renews_its_trainings_alone() -> None:
    other = load_experiment("digits", ["studies.last_steps=3"])
    before, after = trained_by(StudyTruncation), trained_by(StudyTruncation, other)
    assert {title for title in after if title not in before} == {
        f"TrainEBM (with L_KL, last 3 steps, seed {seed})" for seed in (0, 1, 2)
    }


def test_tasks_of_the_data_are_called_as_they_are() -> None:
    of_the_data = ("PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics")
    for study in STUDIES:
        steps = tree(study.of(BASE, Path("/r")))
        assert [step.title for step in steps if step.name() in of_the_data] == [*of_the_data]


def test_every_title_is_of_one_task() -> None:
    """Links below runs/ are called by it."""
    steps = tree(ReproducePaper.of(BASE, Path("/r")))
    assert len({step.title for step in steps}) == len(steps)


def test_a_study_is_listed_and_linked_once_something_of_it_is_there(tmp_path: Path) -> None:
    few = load_experiment("digits", ["studies.seeds=[0,1]", "selection.every=0"])
    assert not any("L_KL" in step.title for step in all_tasks(few, tmp_path))
    training = next(
        step
        for step in tree(StudyCollapse.of(few, tmp_path))
        if step.title == "TrainEBM (without L_KL, seed 1)"
    )
    build_all(training)
    names = [step.name() for step in all_tasks(few, tmp_path)]
    assert {"StudyCollapse", "StudyNoiseInit"} <= set(names)
    assert not {"StudyTruncation", "ReproducePaper"} & set(names)
    links.refresh(few, tmp_path)
    link = tmp_path / "runs/digits/TrainEBM (without L_KL, seed 1)"
    assert link.resolve() == training.artifact.path


def test_the_main_models_being_there_lists_no_study(tmp_path: Path) -> None:
    build_all(TrainEBM.of(BASE, tmp_path))
    build_all(EvaluateOOD.of(BASE, tmp_path))
    assert not any(step.ON_REQUEST for step in all_tasks(BASE, tmp_path))


def test_the_paper_is_reproduced_with_a_composition_where_one_is_named() -> None:
    assert "ComposeModels" not in {step.name() for step in tree(ReproducePaper.of(BASE, Path("/r")))}
    composed = load_experiment("digits_or")
    assert "ComposeModels" in {step.name() for step in tree(ReproducePaper.of(composed, Path("/r")))}


def test_the_paper_is_reproduced_by_the_energy_model_whatever_is_sampled() -> None:
    other = load_experiment("digits", ["sampling.source=sngan"])
    assert ReproducePaper.of(other, Path("/r")).fingerprint == ReproducePaper.of(BASE, Path("/r")).fingerprint


@pytest.mark.parametrize(
    ("study", "settings", "words"),
    [
        (StudyCollapse, ["loss.kl=0"], "sets trainings with L_KL beside others, and loss.kl is 0: give"),
        (StudyNoiseInit, ["loss.kl=0", "loss.entropy=0"], "and loss.kl and loss.entropy is 0: give both"),
        (
            StudyTruncation,
            ["studies.last_steps=20"],
            r"the last 20 \(studies.last_steps\) and all 20 .* 2 and 19",
        ),
        (StudyTruncation, ["langevin.steps=2"], "needs chains of 3 steps or more; received langevin.steps=2"),
        (StudyCollapse, ["sampling.count=5"], "sampling.count is 5, and recall needs 6 samples or more"),
    ],
)
def test_cases_that_would_be_the_same_are_refused(study: type, settings: list[str], words: str) -> None:
    experiment = load_experiment("digits", settings)
    with pytest.raises(ConfigError, match=words) as refused:
        check(study.of(experiment, Path("/r")))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("config", ["digits", "fashion_mnist", "mnist", "lsun_bedroom128", "celeba_hq128"])
def test_the_papers_configs_have_studies_that_can_be_planned(config: str) -> None:
    experiment = load_experiment(config)
    for study in STUDIES:
        study.demand(json.loads(study.of(experiment, Path("/r")).experiment))
        assert len(trained_by(study, experiment)) >= 9


def test_the_most_memory_of_a_stage_is_in_its_record(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    (artifact,) = lab.artifacts("PrepareDataset")
    assert json.loads((artifact / "params.json").read_text())["peak_memory_mib"] == 123.5
