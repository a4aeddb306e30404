"""The command line itself: quick to answer, clear in refusal."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli

CLI = Path(__file__).resolve().parents[1] / "cli.py"


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(CLI), *arguments], capture_output=True, text=True, timeout=300)


def loaded_by(*arguments: str) -> list[str]:
    """Which of the slow libraries the command line has imported after a command that went well."""
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "import cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'luigi', 'typer'}))"
    )
    command = [sys.executable, "-c", program, str(CLI.parent), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_help_imports_neither_tensorflow_nor_luigi() -> None:
    assert loaded_by("--help") == ["typer"]


def test_planning_imports_no_tensorflow(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text("name: tiny\n")
    assert loaded_by("plan", "--config", str(config), "--root", str(tmp_path / "store")) == ["luigi", "typer"]


def test_showing_a_network_imports_no_tensorflow() -> None:
    assert "tensorflow" not in loaded_by("model", "--config", "digits")


def test_a_network_is_shown_with_its_sums_and_its_source() -> None:
    done = call("model", "--config", "digits", "--json")
    shown = json.loads(done.stdout)
    assert (shown["architecture"], shown["source"]) == ("tiny", "this project")
    assert shown["image_shape"] == [8, 8, 1]
    assert shown["parameters"] == 26_080
    for column in ("parameters", "multiply_adds"):
        assert shown[column] == sum(layer[column] for layer in shown["layers"])
    table = call("model", "--config", "digits", "--set", "model.width=2").stdout
    assert "3x3 conv 32, swish" in table
    assert "tiny (this project) on images of 8x8x1" in table


def test_a_network_that_does_not_fit_its_images_is_refused() -> None:
    done = call("model", "--config", "digits", "--set", "model.architecture=table1")
    assert done.returncode == 2
    assert "at least 9x9 pixels; received images of 8x8" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [command.__name__ for panel in cli.COMMANDS.values() for command in panel]
)
def test_every_command_has_help(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_a_python_without_the_packages_is_told_in_one_line() -> None:
    command = [sys.executable, "-S", str(CLI), "plan"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "has no typer" in done.stderr and "source .venv/bin/activate" in done.stderr


def test_a_bad_option_ends_with_2() -> None:
    assert call("run", "--tusk", "TrainEBM").returncode == 2
    assert call("run").returncode == 2


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (["trian"], "'trian'; did you mean run --task TrainSNGAN or TrainEBM?"),
        (["xyzzy"], "'xyzzy'; see --help"),
        (["stauts"], "'stauts'. Did you mean 'status', 'statistics'?"),
        (["run", "EvaluateFID"], "Missing option '--task' / '-t'; did you mean run --task EvaluateFID?"),
        (["run"], "'--task' / '-t'; see --help"),
    ],
)
def test_what_may_have_been_meant_is_said(words: list[str], ending: str) -> None:
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.endswith(f"{ending}\n")


def test_version_is_one_line() -> None:
    done = call("--version")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1


def test_a_config_that_is_not_there_is_missing_input(tmp_path: Path) -> None:
    done = call("plan", "--config", str(tmp_path / "none.yaml"), "--json")
    assert done.returncode == 4
    assert "none.yaml" in done.stderr
    assert json.loads(done.stdout)["status"] == "missing_input"


def test_a_config_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "torn.yaml"
    config.write_text("langevin: [1,\n")
    done = call("run", "--task", "TrainEBM", "--config", str(config), "--root", str(tmp_path / "store"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_an_answer_that_nobody_reads_ends_as_pipes_expect() -> None:
    line = f"{sys.executable} {CLI} configs digits --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [["configs", "--json"], ["configs"], ["configs", "digits", "--json"]])
def test_an_answer_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, str(CLI), *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_help_can_be_read_on_a_terminal_that_knows_ascii_only() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, str(CLI), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0
    assert "Fr?chet" in done.stdout
