"""The programs' options, answers and arithmetic; no time is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as whole
from benchmarks import memory, parts, programs, report, scaling, training, yardstick
from benchmarks.turns import laps
from benchmarks.workers import in_turns
from ebm_tf.errors import EBMError, MissingInput
from tests.benchmarks.made_up import results

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = [
    "backprop",
    "first_version",
    "limit",
    "memory",
    "parts",
    "scaling",
    "training",
    "yardstick",
    "report",
    "expect",
]


def _ran(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_training_has_the_yardsticks_options_and_defaults() -> None:
    names = ("filters", "batch", "size", "channels", "steps", "iters", "threads")
    options = training.parsed([])
    assert [getattr(options, name) for name in names] == [32, 32, 32, 3, 10, 3, 2]
    assert (options.mode, options.precision, options.json) == ("iteration", "float32", False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "8"], "--size is 8; give a multiple of 4 from 16 on"),
        (["--size", "18"], "--size is 18; give a multiple of 4 from 16 on"),
        (["--filters", "12"], "--filters is 12; give a multiple of 8 from 8 on"),
        (["--filters", "0"], "--filters is 0; give a multiple of 8 from 8 on"),
        (["--channels", "2"], "--channels is 2; give 1 or 3"),
        (["--steps", "0"], "--steps is 0; give 1 or more"),
        (["--iters", "0"], "--iters is 0; give 1 or more"),
        (["--batch", "-1"], "--batch is -1; give 1 or more"),
        (["--precision", "float16"], "invalid choice: 'float16' (choose from 'float32', 'bfloat16')"),
    ],
)
def test_training_refuses_what_it_cannot_measure(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        training.parsed(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(words)


@pytest.mark.parametrize("mode", [pytest.param("iteration", marks=pytest.mark.slow), "langevin"])
def test_training_prints_the_yardsticks_fields_and_nothing_else(mode: str) -> None:
    small = ["--filters", 8, "--batch", 2, "--size", 16, "--channels", 1, "--steps", 2, "--iters", 2]
    done = _ran("-m", "benchmarks.training", "--mode", mode, *small, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    common = {"mode", "ms_range", "parameters", "peak_rss_mib", "tensorflow", "config"}
    own = {
        "iteration": {"ms_per_iteration", "split_ms", "last_loss"},
        "langevin": {"ms_per_step", "image_steps_per_s"},
    }[mode]
    assert set(answer) == common | own
    assert answer["config"] == {
        "filters": 8, "batch": 2, "size": 16, "channels": 1, "steps": 2, "iters": 2, "threads": 2,
        "lanes": 1, "precision": "float32",
    }  # fmt: skip
    assert done.stdout.count("\n") == 1
    if mode == "iteration":
        assert list(answer["split_ms"]) == ["replay_augment", "langevin", "loss_backward", "update"]
        assert sum(answer["split_ms"].values()) == pytest.approx(answer["ms_per_iteration"], abs=0.05)
        assert np.isfinite(answer["last_loss"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_help(name: str) -> None:
    done = _ran("-m", f"benchmarks.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert "show this help message" in done.stdout


def test_a_whole_run_names_a_program_for_each_section() -> None:
    assert list(whole.SECTIONS) == list(report.TABLES)
    for name, section in whole.SECTIONS.items():
        for quick in (False, True):
            command = whole.command_of(name, Namespace(quick=quick, yardstick_python=None))
            assert command[:3] == [sys.executable, "-m", f"benchmarks.{section.program}"]
            assert command[-1] == "--json"


def test_the_given_interpreter_goes_to_the_yardstick_alone() -> None:
    options = Namespace(quick=True, yardstick_python=Path("/there/python"))
    with_it = [name for name in whole.SECTIONS if "/there/python" in whole.command_of(name, options)]
    assert with_it == ["yardstick"]


def test_what_is_left_follows_the_pace_so_far() -> None:
    expected = {"one": 10.0, "two": 20.0, "three": 30.0}
    assert whole.remaining(expected, 0, 0.0) == 60.0
    assert whole.remaining(expected, 2, 60.0) == 60.0
    assert whole.remaining(expected, 3, 99.0) == 0.0


@pytest.fixture
def two_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run of two short programs: one that measures no parts, and one that fails."""
    sections = {
        "parts": whole.Section("parts", ("--only",), ("--only",), (1, 1)),
        "limit": whole.Section("limit", ("--precision", "none"), (), (1, 1)),
    }
    monkeypatch.setattr(whole, "SECTIONS", sections)
    monkeypatch.setattr(programs, "claim_stdout", lambda: sys.stdout)


def test_a_whole_run_writes_what_it_found_and_what_failed(
    two_sections: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--folder", str(tmp_path), "--json"])
    assert whole.main() == 3
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert (printed["status"], printed["exit_code"]) == ("failed", 3)
    written = report.read(tmp_path)["sections"]
    assert printed["sections"] == written
    assert written["parts"]["found"] == {"rows": []}
    assert "invalid choice: 'none'" in written["limit"]["failed"]
    assert "[2/2] limit; about" in said.err
    assert "error: limit was not measured: python -m benchmarks.limit" in said.err


def test_what_is_not_measured_again_stays(
    two_sections: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = {"sections": {"limit": results()["sections"]["limit"]}}
    report.write(earlier, tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--folder", str(tmp_path), "--only", "parts"])
    assert whole.main() == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "RESULTS.md")
    written = report.read(tmp_path)["sections"]
    assert written["limit"] == json.loads(json.dumps(earlier["sections"]["limit"]))
    assert written["parts"]["found"] == {"rows": []}


def test_figures_that_cannot_be_read_are_not_written_over(
    two_sections: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text("{")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--folder", str(tmp_path)])
    assert whole.main() == 4
    assert "error: cannot read" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == "{"


@pytest.mark.slow
def test_replicas_are_measured_side_by_side() -> None:
    small = ["--filters", 8, "--batch", 4, "--steps", 2, "--rounds", 1]
    done = _ran("-m", "benchmarks.scaling", "--only", "replicas", *small, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["axes"]["replicas"]["rows"]
    assert [row["value"] for row in rows] == [1, 2]
    assert all(row["ms"] > 0 and row["peak_mib"] > 0 for row in rows)


def test_laps_come_in_turns_and_the_first_are_not_counted() -> None:
    called: list[str] = []
    times = laps({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3, warm_up=2)
    assert called == ["a", "b"] * 5
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def test_an_answer_is_the_object_and_what_is_said_goes_to_the_reader() -> None:
    said: list[str] = []
    code = "import sys; print('{\"a\": 1}'); print('on the way', file=sys.stderr)"
    assert programs.answer([sys.executable, "-c", code], say=said.append) == {"a": 1}
    assert said == ["on the way"]


def test_a_program_that_fails_is_an_error_with_its_last_words() -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('error: the reason')"
    with pytest.raises(EBMError, match=r"ended with 1; its last words: error: the reason"):
        programs.answer([sys.executable, "-c", code], say=lambda line: None)


def test_an_answer_that_is_no_json_is_an_error() -> None:
    with pytest.raises(EBMError, match="printed no JSON object: 'hello"):
        programs.answer([sys.executable, "-c", "print('hello')"], say=lambda line: None)


def _counting(start: int) -> object:
    numbers = iter(range(start, start + 100))
    return lambda: next(numbers)


def _stopping() -> object:
    def stop() -> None:
        raise SystemExit(9)

    return stop


def test_workers_answer_for_each_case() -> None:
    found = in_turns({"a": (_counting, 0), "b": (_counting, 1)}, rounds=3)
    assert {name: len(each.laps) for name, each in found.items()} == {"a": 3, "b": 3}
    assert all(each.peak_mib >= each.before_mib > 0 for each in found.values())


def test_a_worker_that_ends_is_called_by_its_name() -> None:
    with pytest.raises(EBMError, match="the process of the second ended before it answered"):
        in_turns({"the first": (_counting, 0), "the second": (_stopping,)}, rounds=1)


def test_a_straight_line_has_no_deviation_and_a_bend_has_its_share() -> None:
    assert scaling.off_a_line((1, 2, 4, 8), (13.0, 16.0, 22.0, 34.0)) == pytest.approx(0, abs=1e-12)
    assert scaling.off_a_line((1, 2, 4, 8), (1.0, 4.0, 16.0, 64.0)) > 0.3


def test_growth_is_the_slope_of_a_line_and_none_of_noise() -> None:
    at = list(range(0, 2000, 10))
    slope, error = memory.slope_of(at, [1000 + 0.5 * number for number in at])
    assert slope == pytest.approx(0.5)
    assert error == pytest.approx(0, abs=1e-9)
    noise = np.random.default_rng(0).normal(size=len(at))
    slope, error = memory.slope_of(at, [1000 + 0.5 * n + e for n, e in zip(at, noise)])
    assert abs(slope - 0.5) < 4 * error
    assert 0 < error < 1e-3


def test_a_run_of_the_digits_has_a_process_for_each_stage() -> None:
    stages = parts.stages_of("EvaluateFID")
    assert stages[-1] == "evaluate_fid"
    assert {"prepare_dataset", "train_ebm", "generate_samples"} < set(stages)


def test_an_interpreter_without_torch_is_refused_in_one_line() -> None:
    with pytest.raises(MissingInput) as refused:
        yardstick.interpreter(Path(sys.executable), lambda line: None)
    assert "has no torch, numpy and pillow that work (ModuleNotFoundError: No module named 'torch')" in str(
        refused.value
    )
    assert str(refused.value).endswith("give --yardstick-python an interpreter that has them")


def test_an_interpreter_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"No such file or directory.*give --yardstick-python"):
        yardstick.interpreter(tmp_path / "python", lambda line: None)


def test_a_revision_that_git_does_not_know_ends_with_one_line() -> None:
    done = _ran("-m", "benchmarks.first_version", "--revision", "nowhere", "--json")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "error: git cannot unpack the revision nowhere (" in done.stderr
    assert done.stderr.rstrip().endswith("give one that `git log` lists")
