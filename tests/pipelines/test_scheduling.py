"""Runs by way of a central scheduler: what they share is built once, and whoever waits does not wait in vain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.running.central import Prospect, outlook
from tests.pipelines.conftest import wait_for
from tests.pipelines.served import Served, hears, kill_stage, served
from tests.waiting import until


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A scheduler with two accelerators that the tests of this module share; each has a root of its own."""
    with served(tmp_path_factory.mktemp("central"), "--accelerators", "2") as made:
        yield made


def of_root(central: Served, lab: Any, status: str = "") -> dict[str, dict[str, Any]]:
    """What the scheduler knows of the tasks of a root, by name."""
    tasks = central.ask("task_list", status=status).values()
    return {task["name"]: task for task in tasks if task["params"]["root"] == str(lab.root)}


def test_the_page_and_the_rest_answers_show_every_task_as_it_goes(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    run = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address, "--json")
    wait_for(lab.folder / "at the gate")
    told = ("tracking_url", "status_message", "progress_percentage")
    until(lambda: all(of_root(central, lab)["TrainEBM"][key] for key in told), ", ".join(told))
    rows = of_root(central, lab)
    assert {name: row["status"] for name, row in rows.items()} == {
        "PrepareDataset": "DONE", "TrainEBM": "RUNNING", "GenerateSamples": "PENDING",
    }  # fmt: skip
    training = rows["TrainEBM"]
    assert (training["progress_percentage"], training["status_message"]) == (50, "half")
    assert training["resources"] == {"accelerator": 1}
    assert f"pid={run.pid}" in training["worker_running"]
    (work,) = (lab.root / "artifacts" / "TrainEBM").glob(".work-*")
    short = work.name.partition("-")[2]
    assert training["params"]["fingerprint"].startswith(short)
    assert training["tracking_url"] == f"http://127.0.0.1:6006/?runFilter={short}#timeseries"
    assert "experiment" not in training["params"]
    ids = {task["name"]: key for key, task in central.ask("task_list").items() if task in rows.values()}
    graph = central.ask("dep_graph", task_id=ids["GenerateSamples"])
    assert {key: sorted(row["deps"]) for key, row in graph.items()} == {
        ids["GenerateSamples"]: sorted([ids["PrepareDataset"], ids["TrainEBM"]]),
        ids["TrainEBM"]: [ids["PrepareDataset"]],
        ids["PrepareDataset"]: [],
    }
    assert 'luigi_task_started_total{family="TrainEBM"}' in central.get("/metrics")
    assert "<title>Luigi Task Visualiser</title>" in central.get("/static/visualiser/index.html")
    (lab.folder / "open").touch()
    assert json.loads(run.communicate(timeout=60)[0])["exit_code"] == 0
    assert {row["status"] for row in of_root(central, lab).values()} == {"DONE"}


def test_a_second_run_waits_for_the_first_and_reuses_what_it_made(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address)
    wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address, "--json")
    assert f"waits: TrainEBM is being built by process {first.pid} on " in hears(second, "waits: ")
    (lab.folder / "open").touch()
    assert first.communicate(timeout=60) and first.returncode == 0
    answer = json.loads(second.communicate(timeout=60)[0])
    assert (answer["status"], answer["exit_code"]) == ("done", 0)
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "GenerateSamples"]


def test_without_waiting_the_second_run_says_busy(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address)
    lab.sleeping_stage()
    second = lab.answer("run", "--task", "TrainEBM", "--scheduler", central.address, "--no-wait")
    assert (second["status"], second["exit_code"]) == ("busy", 5)
    assert f"TrainEBM is being built by process {first.pid}" in second["error"]
    first.terminate()
    first.communicate(timeout=60)
    assert lab.calls() == ["PrepareDataset", "TrainEBM"]


def test_what_an_interrupted_run_was_at_is_free_at_once(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address)
    lab.sleeping_stage()
    first.terminate()
    first.communicate(timeout=60)
    assert first.returncode == 143
    assert of_root(central, lab)["TrainEBM"]["status"] == "FAILED"
    lab.behave()
    second = lab.answer("run", "--task", "TrainEBM", "--scheduler", central.address, "--no-wait")
    assert (second["exit_code"], second["metrics"]["resumed"]) == (0, True)


def test_a_run_that_waits_takes_over_when_the_first_fails(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address, "--json")
    note = wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address, "--json")
    hears(second, "waits: ")
    lab.behave()
    kill_stage(note)
    assert json.loads(first.communicate(timeout=60)[0])["exit_code"] == 3
    assert json.loads(second.communicate(timeout=60)[0])["exit_code"] == 0
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "TrainEBM"]


@pytest.mark.slow
def test_a_run_that_waits_ends_when_it_fails_too(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address, "--json")
    note = wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address, "--json")
    hears(second, "waits: ")
    lab.behave(TrainEBM="fail")
    kill_stage(note)
    assert json.loads(first.communicate(timeout=60)[0])["exit_code"] == 3
    answer = json.loads(second.communicate(timeout=60)[0])
    assert (answer["exit_code"], answer["error"]) == (3, "TrainEBM: the data are gone")
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "TrainEBM"]


def test_what_failed_may_be_run_again_at_once(lab: Any, central: Served) -> None:
    where = ("run", "--task", "TrainEBM", "--scheduler", central.address)
    lab.behave(TrainEBM="fail")
    for _ in range(2):
        assert lab.answer(*where)["exit_code"] == 3
    assert of_root(central, lab)["TrainEBM"]["status"] == "FAILED"
    assert (
        "the data are gone" in central.ask("fetch_error", task_id=task_id(central, lab, "TrainEBM"))["error"]
    )
    lab.behave()
    assert lab.answer(*where)["exit_code"] == 0
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "TrainEBM", "TrainEBM"]


def task_id(central: Served, lab: Any, name: str) -> str:
    """The scheduler's id of a task of a root."""
    (found,) = (
        key
        for key, task in central.ask("task_list").items()
        if task["name"] == name and task["params"]["root"] == str(lab.root)
    )
    return str(found)


def test_what_was_just_done_may_be_rebuilt_at_once(lab: Any, central: Served) -> None:
    where = ("run", "--task", "TrainEBM", "--scheduler", central.address)
    assert lab.run(*where).returncode == 0
    assert lab.states(*where, "--force", "TrainEBM") == {"PrepareDataset": "reused", "TrainEBM": "ran"}


def test_a_run_in_another_root_shares_nothing(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address)
    lab.sleeping_stage()
    (log,) = (lab.root / "artifacts" / "TrainEBM").glob(".work-*/log.txt")
    until(lambda: "not an event" in log.read_text(), "all that the stage has to say")
    seen = {path: path.stat().st_mtime_ns for path in lab.root.rglob("*")}
    lab.behave()
    other = lab.folder / "other"
    done = lab.run("run", "--task", "TrainEBM", "--scheduler", central.address, "--workers", "2", root=other)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in lab.root.rglob("*")} == seen
    assert len(list((other / "artifacts" / "TrainEBM").glob("[!.]*"))) == 1
    assert of_root(central, lab)["TrainEBM"]["status"] == "RUNNING"
    first.terminate()
    first.communicate(timeout=60)
    assert lab.artifacts("TrainEBM") == []


def test_the_accelerator_goes_to_one_run_after_the_other(lab: Any, tmp_path: Path) -> None:
    with served(tmp_path / "one") as central:
        lab.behave(TrainEBM="gate")
        first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address)
        wait_for(lab.folder / "at the gate")
        more = ("--set", "langevin.steps=7", "--set", "name=seven")
        second = lab.start("run", "--task", "TrainEBM", *more, "--scheduler", central.address)
        said = hears(second, "waits: ")
        assert f"TrainEBM needs the accelerator of process {first.pid} on " in said
        assert ", which builds TrainEBM" in said
        assert lab.calls() == ["PrepareDataset", "TrainEBM"]
        (lab.folder / "open").touch()
        for run in (first, second):
            _, stderr = run.communicate(timeout=60)
            assert run.returncode == 0, stderr
    assert lab.calls() == ["TrainEBM"]
    assert len(lab.artifacts("TrainEBM")) == 2


def test_at_an_own_scheduler_the_accelerators_are_as_many_as_are_given(lab: Any) -> None:
    lab.behave(TrainEBM="gate")
    many = ("--grid", "langevin.steps=7,8", "--workers", "2", "--accelerators", "2")
    run = lab.start("run", "--task", "TrainEBM", *many)
    calls = lab.folder / "calls.txt"
    until(lambda: calls.exists() and calls.read_text().split().count("TrainEBM") == 2, "two at once")
    (lab.folder / "open").touch()
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr


ME, OTHER = "Worker(salt=1, workers=1, host=here, pid=1)", "Worker(salt=2, workers=1, host=there, pid=2)"


def row(
    status: str, *deps: str, accelerator: bool = False, name: str = "", worker: str | None = None
) -> dict[str, Any]:
    """A task as the scheduler tells of it."""
    resources = {"accelerator": 1} if accelerator else {}
    return {"status": status, "deps": deps, "resources": resources, "name": name, "worker_running": worker}


@pytest.mark.parametrize(
    "wanted, running, prospect, reason",
    [
        ({"a": row("FAILED"), "b": row("PENDING", "a")}, {}, Prospect.DROPPED, ""),
        ({"a": row("UNKNOWN"), "b": row("PENDING", "a")}, {}, Prospect.DROPPED, ""),
        ({"a": row("DISABLED"), "b": row("FAILED", "a")}, {}, Prospect.NONE, ""),
        ({"a": row("PENDING")}, {}, Prospect.WITHHELD, ""),
        ({"a": row("PENDING", "done")}, {"x": row("RUNNING")}, Prospect.WITHHELD, ""),
        ({}, {"x": row("RUNNING")}, Prospect.NONE, ""),
        (
            {"a": row("RUNNING"), "b": row("PENDING", "a")},
            {"a": row("RUNNING", name="A", worker=OTHER)},
            Prospect.HELD,
            "A is being built by process 2 on there",
        ),
        (
            {"a": row("PENDING", accelerator=True, name="A")},
            {"x": row("RUNNING", accelerator=True, name="X", worker="odd")},
            Prospect.HELD,
            "A needs the accelerator of odd, which builds X",
        ),
        ({"a": row("RUNNING"), "b": row("FAILED")}, {"a": row("RUNNING", worker=OTHER)}, Prospect.DROPPED, ""),
    ],
)  # fmt: skip
def test_whether_waiting_can_help(wanted: Any, running: Any, prospect: Prospect, reason: str) -> None:
    assert outlook(wanted, running) == (prospect, reason)
