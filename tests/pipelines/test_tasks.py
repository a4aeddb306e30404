"""Which setting makes which result new."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebm_tf.config import Experiment
from ebm_tf.errors import ConfigError
from pipelines.tasks import TASKS, Report, task_named, tree

BASE = Experiment()


def changed_tasks(section: str, **values: object) -> set[str]:
    """Tasks whose fingerprint a change of settings changes."""
    part = getattr(BASE, section)
    new = part.model_copy(update=values) if values else part + 1
    other = BASE.model_copy(update={section: new})
    return {
        name
        for name, task in TASKS.items()
        if task.of(BASE, Path("/r")).fingerprint != task.of(other, Path("/r")).fingerprint
    }


@pytest.mark.parametrize(
    "section, values, changed",
    [
        (
            "langevin",
            {"steps": 7},
            set(TASKS) - {"PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics"},
        ),
        ("evaluation", {"kid_subsets": 7}, {"ReferenceStatistics", "EvaluateFID", "Report"}),
        ("neighbours", {"k": 7}, {"RetrieveNeighbours", "Report"}),
        ("compute", {"threads": 7}, set()),
        ("seed", {}, set(TASKS) - {"PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics"}),
    ],
)
def test_a_setting_renews_what_depends_on_it(
    section: str, values: dict[str, object], changed: set[str]
) -> None:
    assert changed_tasks(section, **values) == changed


def test_every_slice_is_a_section_of_the_experiment() -> None:
    assert {name for task in TASKS.values() for name in task.SETTINGS} <= set(Experiment.model_fields)


def test_the_report_stands_on_all() -> None:
    assert [step.name() for step in tree(Report.of(BASE, Path("/r")))] == list(TASKS)


def test_a_tree_lists_each_task_after_its_inputs() -> None:
    seen: set[str] = set()
    for step in tree(Report.of(BASE, Path("/r"))):
        assert {upstream.name() for upstream in step.requires()} <= seen
        seen.add(step.name())


def test_the_experiment_is_no_part_of_the_task_id() -> None:
    other = BASE.model_copy(update={"name": "other"})
    assert Report.of(BASE, Path("/r")).task_id == Report.of(other, Path("/r")).task_id
    assert Report.of(BASE, Path("/r")).task_id != Report.of(BASE, Path("/s")).task_id


def test_an_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'evaluatefdi'; did you mean EvaluateFID.*TrainEBM"):
        task_named("evaluatefdi")
