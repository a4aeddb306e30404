"""Stages as processes: JSON lines and nothing else on stdout, errors as events, and no life without the parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import tensorflow as tf

from ebm_tf.config import Dataset, Evaluation, Extractor
from ebm_tf.datasets.store import Store
from ebm_tf.errors import ConfigError, as_one_line
from tests.stages.running import AS_A_MODULE, context_of, settings_of, stage_command
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a stage to its end by its command line; the process that is returned has `out`, its folder."""

    def runner(stage, settings, inputs=None, program=AS_A_MODULE):
        folder = tmp_path_factory.mktemp(stage)
        command = stage_command(folder, stage, settings, inputs or {}, program=program)
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_SECONDS
        )
        done.out = folder / "out"
        return done

    return runner


@pytest.fixture(scope="module")
def prepared(run):
    return run("PrepareDataset", settings_of("PrepareDataset"))


def environment():
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


def events(text):
    """Every line of stdout as JSON; any that is not fails the test."""
    return [json.loads(line) for line in text.splitlines()]


def only_error(done):
    """The one error event, which comes last."""
    said = events(done.stdout)
    errors = [event for event in said if event["event"] == "error"]
    assert errors == said[-1:], done.stderr
    assert set(errors[0]) == {"event", "message", "exit_code"}
    assert "\n" not in errors[0]["message"]
    return errors[0]


def test_prepare_dataset_speaks_json_lines_and_leaves_its_files(prepared):
    assert prepared.returncode == 0, prepared.stderr
    *said, ended = events(prepared.stdout)
    assert ended["event"] == "ended"
    assert 50 < ended["peak_memory_mib"] < 4000
    assert said
    for event in said:
        assert set(event) == {"event", "done", "total", "message"}
        assert event["event"] == "progress"
        assert 0 <= event["done"] <= event["total"] == 1797
    files = {path.name for path in prepared.out.iterdir()}
    images = {"train.npy", "test.npy", "train_labels.npy", "test_labels.npy"}
    assert files == {*images, "manifest.json", "contact_sheet.png", "summary.txt"}
    assert Store(prepared.out).images("train").shape == (1297, 8, 8, 1)


def test_what_tfds_prints_goes_to_stderr(prepared):
    assert "Dataset digits downloaded and prepared" in prepared.stderr


def test_whatever_is_printed_stays_off_stdout(run):
    """A stage that prints by Python, past Python, and by a child of its own."""
    program = (
        "import os, subprocess, sys, types\n"
        "from ebm_tf.stages import __main__ as stages\n"
        "def run(context):\n"
        "    print('by python')\n"
        "    sys.__stdout__.write('by the first stdout\\n'), sys.__stdout__.flush()\n"
        "    os.write(1, b'past python\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"by a child\")'], check=True)\n"
        "    context.progress(1, 2, 'said')\n"
        "loud = types.ModuleType('ebm_tf.stages.loud')\n"
        "loud.run = run\n"
        "sys.modules[loud.__name__] = loud\n"
        "stages.STAGES['Loud'] = 'loud'\n"
        "sys.exit(stages.main())\n"
    )
    done = run("Loud", {}, program=("-c", program))
    assert done.returncode == 0, done.stderr
    said, ended = events(done.stdout)
    assert said == {"event": "progress", "done": 1, "total": 2, "message": "said"}
    assert ended["event"] == "ended"
    for words in ("by python", "by the first stdout", "past python", "by a child"):
        assert words in done.stderr.splitlines()


def test_a_stage_that_nobody_listens_to_ends_without_a_word(tmp_path):
    """Its parent is gone. What the stage said last would stand where a run looks for the reason of a failure."""
    command = stage_command(tmp_path, "PrepareDataset", settings_of("PrepareDataset"), {})
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_section_that_the_task_does_not_declare_is_refused(run):
    done = run("PrepareDataset", {"seed": 0})
    assert done.returncode == 3
    assert only_error(done) == {
        "event": "error",
        "message": "stage PrepareDataset asked for settings 'dataset', which its task does not declare",
        "exit_code": 3,
    }
    assert "Traceback" not in done.stderr, "what it says is enough"
    assert list(done.out.iterdir()) == []


def test_of_a_section_named_in_part_the_rest_is_no_attribute(tmp_path):
    """So that a stage cannot use a setting that is not in its fingerprint, and take the default for it."""
    given = Evaluation(baseline_count=7)
    context = context_of("BaselineStatistics", tmp_path, {}, evaluation=given)
    assert context.section("evaluation").baseline_count == 7
    with pytest.raises(AttributeError, match="bootstrap"):
        _ = context.section("evaluation").bootstrap
    wrong = {**given.model_dump(), "baseline_count": 1}
    with pytest.raises(ConfigError, match=r"evaluation.baseline_count received 1"):
        context_of("BaselineStatistics", tmp_path, {}, evaluation=wrong).section("evaluation")


def test_a_missing_input_is_an_error_event_with_4_and_exit_status_4(run, tmp_path):
    settings = settings_of("TrainFeatureExtractor")
    done = run("TrainFeatureExtractor", settings, {"PrepareDataset": tmp_path})
    assert done.returncode == 4
    error = only_error(done)
    assert error["exit_code"] == 4
    assert error["message"] == f"no data set in {tmp_path}: manifest.json is missing"


def test_a_setting_out_of_range_is_an_error_event_with_2(run):
    wrong = {**Dataset().model_dump(), "name": "mnits"}
    done = run("PrepareDataset", settings_of("PrepareDataset", dataset=wrong))
    assert done.returncode == 2
    error = only_error(done)
    assert error["exit_code"] == 2
    assert "dataset.name received 'mnits'" in error["message"]


def test_an_error_that_nobody_foresaw_is_one_line_with_its_kind_and_3(run):
    done = run("TrainFeatureExtractor", settings_of("TrainFeatureExtractor"), inputs={})
    assert done.returncode == 3
    assert only_error(done)["message"] == "KeyError: 'PrepareDataset'"


def test_a_full_disk_is_told_without_the_graph_that_met_it():
    said = "{{function_node __wrapped__SaveV2_device_/task:0}} /a/state; No space left on device [Op:SaveV2]"
    shown = as_one_line(tf.errors.ResourceExhaustedError(None, None, said))
    assert str(shown) == "the disk is full, make room and run again (/a/state; No space left on device)"
    assert shown.exit_code == 4


def test_an_error_in_a_graph_is_told_without_where_the_graph_comes_from():
    @tf.function
    def of_two(numbers):
        tf.debugging.assert_less(numbers, 2.0, message="too large")

    with pytest.raises(tf.errors.InvalidArgumentError, match="Graph execution error") as raised:
        of_two(tf.constant(2.0))
    line = str(as_one_line(raised.value))
    assert line.startswith("InvalidArgumentError: assertion failed: [too large]")
    assert "\n" not in line


def test_of_several_errors_in_a_graph_the_first_is_told():
    said = (
        "Graph execution error:\n\nDetected at node a defined at\n  File x\n\n2 root error(s) found.\n"
        "  (0) UNKNOWN: no room\n\t [[{{node a}}]]\n  (1) UNKNOWN: none here"
    )
    assert str(as_one_line(tf.errors.UnknownError(None, None, said))) == "UnknownError: UNKNOWN: no room"


@pytest.mark.parametrize("missing", ["spec.json", "out"])
def test_without_specification_or_folder_it_ends_with_4(tmp_path, missing):
    command = stage_command(tmp_path, "PrepareDataset", {}, {})
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_SECONDS
    )
    assert done.returncode == only_error(done)["exit_code"] == 4
    assert str(tmp_path / missing) in only_error(done)["message"]


def test_an_unknown_stage_is_refused_with_the_list():
    command = [sys.executable, "-m", "ebm_tf.stages", "TrainEMB", "--spec", "s", "--out", "o"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "TrainEBM" in done.stderr


def ended(process):
    """Whether a process is no more, or nothing but an entry that nobody has collected."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_ends_when_its_parent_is_killed(prepared, tmp_path):
    """The parent is a process in between, killed once the stage, which would train for hours, has begun."""
    settings = settings_of("TrainFeatureExtractor", extractor=Extractor(epochs=10_000))
    command = stage_command(tmp_path, "TrainFeatureExtractor", settings, {"PrepareDataset": prepared.out})
    parent_program = (
        "import json, subprocess, sys\n"
        "command, out, log = json.loads(sys.argv[1])\n"
        "with open(out, 'w') as stdout, open(log, 'w') as stderr:\n"
        "    child = subprocess.Popen(command, stdout=stdout, stderr=stderr, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    said, log = tmp_path / "said.jsonl", tmp_path / "log.txt"
    arguments = [sys.executable, "-c", parent_program, json.dumps([command, str(said), str(log)])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, **pipes, text=True, env=environment()) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            until(lambda: said.read_text() or ended(child), "its first word", PATIENCE_SECONDS)
            assert not ended(child), log.read_text()
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            until(lambda: ended(child), "its end without its parent", PATIENCE_SECONDS)
        finally:
            parent.kill()
            with suppress(psutil.NoSuchProcess):
                child.kill()
    assert list((tmp_path / "out").iterdir()) == []
