"""The settings behind an artifact, through all its ancestors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.errors import ConfigError, MissingInput
from pipelines.artifact import Artifact
from pipelines.judging.lineage import artifact_at, lineage
from tests.pipelines.artifact_trees import link, published


class Tree:
    """Images, a model of them, its samples and their evaluation: a diamond, as the images are read three times."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = published(root, "PrepareDataset", {"dataset": {"name": "digits", "size": None}})
        self.model = published(
            root, "TrainEBM", {"seed": 3, "model": {"width": 1.0}}, {"PrepareDataset": self.data}, version=2
        )
        self.samples = published(
            root,
            "GenerateSamples",
            {"seed": 3, "sampling": {"count": 50, "labels": [1, 2]}},
            {"PrepareDataset": self.data, "TrainEBM": self.model},
        )
        self.evaluated = published(
            root,
            "EvaluateFID",
            {"evaluation": {"seed": 0}},
            {"PrepareDataset": self.data, "model's samples": self.samples},
        )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_settings_of_all_ancestors_are_put_together(tree: Tree) -> None:
    known = lineage(tree.evaluated)
    assert known.settings == {
        "evaluation.seed": 0,
        "dataset.name": "digits",
        "dataset.size": None,
        "seed": 3,
        "sampling.count": 50,
        "sampling.labels": [1, 2],
        "model.width": 1.0,
        "EvaluateFID (version)": 1,
        "PrepareDataset (version)": 1,
        "GenerateSamples (version)": 1,
        "TrainEBM (version)": 2,
    }
    assert (known.gone, known.rebuilt) == ((), ())


def test_another_value_of_a_second_ancestor_stands_under_its_input(tmp_path: Path) -> None:
    own = published(tmp_path, "PrepareDataset", {"dataset": {"name": "digits", "size": 8}})
    other = published(tmp_path, "PrepareDataset", {"dataset": {"name": "dtd", "size": 8}})
    both = published(tmp_path, "EvaluateOOD", {}, {"PrepareDataset": own, "PrepareDataset 1": other})
    settings = lineage(both).settings
    assert settings["dataset.name"] == "digits"
    assert settings["PrepareDataset 1: dataset.name"] == "dtd"
    assert "PrepareDataset 1: dataset.size" not in settings


def test_an_ancestor_that_is_gone_is_told(tree: Tree) -> None:
    shutil.rmtree(tree.model.path)
    known = lineage(tree.evaluated)
    assert known.gone == (f"TrainEBM/{tree.model.short}",)
    assert "model.width" not in known.settings
    assert known.settings["sampling.count"] == 50


def test_an_ancestor_that_was_read_by_several_is_told_once(tree: Tree) -> None:
    shutil.rmtree(tree.data.path)
    assert lineage(tree.evaluated).gone == (f"PrepareDataset/{tree.data.short}",)


def test_an_ancestor_that_came_out_otherwise_since_is_told(tree: Tree) -> None:
    published(
        tree.root, "TrainEBM", {"seed": 3, "model": {"width": 1.0}}, {"PrepareDataset": tree.data}, 2, text="new"
    )  # fmt: skip
    assert lineage(tree.evaluated).rebuilt == (f"TrainEBM/{tree.model.short}",)


def test_records_of_before_tasks_were_named_are_read_by_the_names_of_inputs(tree: Tree) -> None:
    rewritten(tree.samples, lambda record: [made.pop("task") for made in record["inputs"].values()])
    assert lineage(tree.samples).settings["model.width"] == 1.0


def test_the_record_of_an_ancestor_that_cannot_be_read_is_an_error(tree: Tree) -> None:
    (tree.model.path / "params.json").write_text("{")
    with pytest.raises(MissingInput, match=r"damaged artifact: .*TrainEBM.*params\.json cannot be read"):
        lineage(tree.evaluated)


def test_an_artifact_is_found_by_its_folder_and_by_a_link_to_it(tree: Tree) -> None:
    run = link(tree.root, "digits", tree.evaluated)
    for place in (tree.evaluated.path, run / "EvaluateFID"):
        assert artifact_at(place, "EvaluateFID").fingerprint == tree.evaluated.fingerprint


def test_an_artifact_of_another_task_is_refused(tree: Tree) -> None:
    with pytest.raises(
        ConfigError, match=f"{tree.model.short} is an artifact of TrainEBM; give one of EvaluateFID"
    ):
        artifact_at(tree.model.path, "EvaluateFID")


def test_unfinished_work_is_refused(tree: Tree) -> None:
    work = tree.evaluated.work
    work.mkdir()
    with pytest.raises(MissingInput, match=r"no finished artifact of EvaluateFID in .*; run it with --task"):
        artifact_at(work, "EvaluateFID")


def test_damage_is_named(tree: Tree) -> None:
    (tree.evaluated.path / "data.txt").unlink()
    with pytest.raises(
        MissingInput, match=r"damaged artifact: .*data\.txt is missing; rebuild it with --force"
    ):
        artifact_at(tree.evaluated.path, "EvaluateFID")
    (tree.evaluated.path / "params.json").write_text("[]")
    with pytest.raises(
        MissingInput, match=r"params\.json cannot be read \(TypeError\); rebuild it with --force"
    ):
        artifact_at(tree.evaluated.path, "EvaluateFID")


def test_a_copy_outside_of_its_place_is_refused(tree: Tree, tmp_path: Path) -> None:
    copy = tmp_path / "kept" / "EvaluateFID" / "mine"
    shutil.copytree(tree.evaluated.path, copy)
    with pytest.raises(
        MissingInput, match=r"mine is not where the artifact is looked for, .*; give artifacts/"
    ):
        artifact_at(copy, "EvaluateFID")


def rewritten(artifact: Artifact, change: Any) -> None:
    path = artifact.path / "params.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
