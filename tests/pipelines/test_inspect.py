"""What plan and status say, and that they only look."""

from __future__ import annotations

import shutil
from typing import Any

from pipelines.inspect import _differences


def reasons(lab: Any, *arguments: str) -> dict[str, tuple[str, str]]:
    rows = lab.answer("plan", "--task", "EvaluateFID", *arguments)["tasks"]
    return {row["task"]: (row["state"], row["reason"]) for row in rows}


def test_nothing_was_built(lab: Any) -> None:
    assert set(reasons(lab).values()) == {("run", "never built")}
    assert set(lab.states("status").values()) == {"missing"}
    assert not lab.root.exists()


def test_a_changed_setting_is_named_with_both_values(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    assert set(reasons(lab).values()) == {("reuse", "artifact present")}
    after = reasons(lab, "--set", "langevin.steps=7", "--set", "training.steps=9")
    assert after == {
        "PrepareDataset": ("reuse", "artifact present"),
        "TrainFeatureExtractor": ("reuse", "artifact present"),
        "TrainEBM": ("run", "setting langevin.steps was 40, is 7; training.steps was 100000, is 9"),
        "ReferenceStatistics": ("reuse", "artifact present"),
        "BaselineStatistics": ("reuse", "artifact present"),
        "GenerateSamples": ("run", "setting langevin.steps was 40, is 7"),
        "EvaluateFID": ("run", "input GenerateSamples changes"),
    }


def test_other_images_were_never_built(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    assert reasons(lab, "--set", "dataset.name=digits_stroke")["PrepareDataset"] == ("run", "never built")


def test_other_images_do_not_hide_an_earlier_artifact_of_these(lab: Any) -> None:
    """The stroke images differ in one setting, the earlier digits in two."""
    lab.run("run", "--task", "PrepareDataset", "--set", "dataset.size=8", "--set", "dataset.limit=9")
    lab.run("run", "--task", "PrepareDataset", "--set", "dataset.name=digits_stroke")
    state, reason = reasons(lab)["PrepareDataset"]
    assert (state, reason) == ("run", "setting dataset.limit was 9, is None; dataset.size was 8, is None")


def test_lists_are_compared_item_by_item() -> None:
    was = {"ood": {"datasets": [{"name": "dtd", "size": 8}], "synthetic": ["rotated"]}}
    now = {"ood": {"datasets": [{"name": "dtd", "size": 9}], "synthetic": ["rotated", "inverted"]}}
    assert _differences(was, now) == [
        "ood.datasets.0.size was 8, is 9",
        "ood.synthetic was ['rotated'], is ['rotated', 'inverted']",
    ]
    assert _differences(was, was) == []


def test_items_of_lists_that_came_or_went_are_named_in_words() -> None:
    few, more = ({"datasets": [{"name": str(number), "size": 8} for number in range(n)]} for n in (9, 11))
    assert _differences(few, more) == ["datasets.9 was added", "datasets.10 was added"]
    assert _differences(more, few) == ["datasets.9 was removed", "datasets.10 was removed"]
    assert _differences({"datasets": []}, {"datasets": [{"name": "dtd"}]}) == ["datasets.0 was added"]


def test_sections_that_are_read_no_more_are_named_in_words() -> None:
    assert _differences({"seed": 0, "model": {"width": 1.0}}, {"seed": 1, "sngan": {"steps": 3}}) == [
        "model was removed",
        "seed was 0, is 1",
        "sngan was added",
    ]


def test_the_nearest_earlier_artifact_is_compared_with(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=7")
    lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=8", "--set", "training.steps=9")
    assert reasons(lab, "--set", "langevin.steps=6")["TrainEBM"] == (
        "run",
        "setting langevin.steps was 7, is 6",
    )


def test_force_is_planned_without_a_trace(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    forced = reasons(lab, "--force", "GenerateSamples")
    assert forced["GenerateSamples"] == ("run", "forced")
    assert forced["EvaluateFID"] == ("run", "input GenerateSamples changes")
    assert forced["TrainEBM"] == ("reuse", "artifact present")
    assert set(reasons(lab).values()) == {("reuse", "artifact present")}


def test_a_missing_input_of_what_is_there_is_not_needed(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    shutil.rmtree(lab.artifacts("TrainEBM")[0])
    planned = reasons(lab)
    assert planned["TrainEBM"] == ("reuse", "not needed: what it feeds is present")
    assert planned["EvaluateFID"] == ("reuse", "artifact present")
    assert lab.states("status")["TrainEBM"] == "missing"
    lab.calls()
    assert lab.run("run", "--task", "EvaluateFID").returncode == 0
    assert lab.calls() == []


def test_status_tells_size_and_time(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    row = lab.answer("status")["tasks"][0]
    (folder,) = lab.artifacts("PrepareDataset")
    assert row["task"] == "PrepareDataset"
    assert row["state"] == "whole"
    assert row["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert row["finished"].endswith("+00:00")
