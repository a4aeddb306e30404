"""The studies in real processes, from nothing to the report; and trainings that really diverge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_main_job import cli

CONFIG = """\
# As small as it will go.
extends: digits
name: small
langevin: {steps: 3}
training: {steps: 20, log_every: 5, grid_every: 20, checkpoint_every: 5}
selection: {every: 0, count: 500, steps: 2}
sampling: {steps: 3, buffer_steps: 1, count: 60}
extractor: {epochs: 4, minimum_accuracy: 0}
sngan: {seconds: null, steps: 2}
evaluation: {bootstrap: 5, baseline_count: 60, kid_subsets: 3}
studies: {seeds: [0, 1], training_steps: 20, evaluations: 2, last_steps: 2}
compute: {minimum_free_disk_mb: 1}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a task; returns what the command says."""
    folder = tmp_path_factory.mktemp("whole")
    config = folder / "small.yaml"
    config.write_text(CONFIG)

    def runner(task: str, *settings: str) -> dict[str, Any]:
        code, found, errors = cli(
            "run", "--task", task, "--config", config, "--root", folder / "root", settings=settings
        )
        assert code == 0, errors
        return dict(found)

    return runner


def test_the_paper_is_reproduced_from_nothing_and_then_reused(run: Any) -> None:
    found = run("ReproducePaper")
    assert sum(found["metrics"]["counts"].values()) == 31
    states = {task["task"]: task["state"] for task in found["tasks"]}
    assert set(states.values()) == {"ran"}
    assert sum(title.startswith("TrainEBM (") for title in states) == 8 * 2
    folder = Path(found["artifact"])
    assert {"report.html", "report.md", "metrics.json", "summary.txt"} <= {
        path.name for path in folder.iterdir()
    }
    again = run("ReproducePaper")
    assert {task["state"] for task in again["tasks"]} == {"reused"}
    record = json.loads(next((folder.parents[1] / "StudyCollapse").glob("*/params.json")).read_text())
    assert 50 < record["peak_memory_mib"] < 4000
    judged = next((folder.parents[1] / "StudyTruncation").glob("*/metrics.json"))
    memory = json.loads(judged.read_text())["cases"]["with L_KL"]["numbers"]["peak_memory_mib"]
    assert 200 < memory["mean"] < 4000


def test_trainings_that_diverge_are_rows_of_a_study_that_is_done(run: Any) -> None:
    """Energies of the network's first weights are far beyond this limit."""
    found = run("StudyCollapse", "health.max_energy=1e-9", "health.grace_steps=12", "health.patience=1")
    cases = found["metrics"]["cases"]
    assert [len(case["diverged"]) for case in cases.values()] == [2, 2, 2, 2]
    for case in cases.values():
        for event in case["diverged"].values():
            assert (event["step"], event["weights_of_step"]) == (12, 5)
        assert case["steps"] == {"0": 12, "1": 12}
        assert len(case["numbers"]["recall_buffer"]["by_seed"]) == 2, "there were weights to draw with"
    at_once = run("StudyCollapse", "health.max_energy=1e-9", "health.grace_steps=1", "health.patience=1")
    for case in at_once["metrics"]["cases"].values():
        assert {event["weights_of_step"] for event in case["diverged"].values()} == {0}
        assert case["numbers"]["recall_buffer"]["by_seed"] == {}
        assert "before its first checkpoint" in case["not_drawn"]["0"]["fresh"]
