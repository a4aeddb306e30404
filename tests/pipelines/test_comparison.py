"""Judged runs side by side: found, read, parted by protocol, ranked within, told apart or not."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import app
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.artifact import Artifact
from pipelines.commands.display import show_comparison
from pipelines.judging.comparison import Comparison, compare
from pipelines.judging.judged import labels, load_runs
from tests.pipelines.artifact_trees import link, published

RECORD: dict[str, Any] = {
    "titles": {
        "fresh": "EBM, fresh chains from noise",
        "buffer": "EBM, chains",
        "real_test": "real test images",
    },
    "frechet_distance": {"fresh": 2.85, "buffer": 2.33, "real_test": 2.03},
    "frechet_distance_at_equal_size": {"images": 500, "fresh": 3.59, "buffer": 3.25, "real_test": 2.03},
    "kid": {"fresh": -0.52, "buffer": -1.11, "real_test": -3.44},
    "kid_spread": {"fresh": 0.89, "buffer": 0.85, "real_test": 2.23},
    "precision": {"fresh": 0.75, "buffer": None, "real_test": 0.9},
    "class_share": [0.5, 0.5],
    "class_share_by_row": {"fresh": [0.5, 0.5], "buffer": [0.4, 0.6], "real_test": [0.5, 0.5]},
    "class_entropy": {"fresh": 0.69, "buffer": 0.67, "real_test": 0.69},
    "label_agreement": {},
    "intervals": {
        "fresh": {"frechet_distance": [2.5, 3.2], "kid": None},
        "buffer": {"frechet_distance": [2.0, 2.6]},
    },
    "protocol": {
        "extractor": {"name": "classifier", "sha256": "5a" * 32, "features": 64, "test_accuracy": 0.986},
        "reference": {"split": "train", "images": 1297, "sha256": "cd" * 32},
        "images": {"fresh": 1000, "buffer": 900, "real_test": 500},
        "pixels": "uint8, quantised to the data set's levels",
        "weights": "average (EMA)",
        "chains": {"fresh": {"steps": 85, "seed": 0}, "buffer": {"steps": 10, "seed": 0}},
        "kid": {"subsets": 100, "subset_size": {"fresh": 1000, "buffer": 900, "real_test": 500}},
        "intervals": {"draws": 200, "confidence": 0.95},
        "seed": 0,
    },
    "warnings": [],
}
FILE: dict[str, Any] = {
    "status": "done",
    "exit_code": 0,
    "seconds": 12.5,
    "frechet_distance": 4.5,
    "kid": 1.5,
    "kid_spread": 0.5,
    "intervals": {"frechet_distance": [4.0, 5.0]},
    "protocol": {
        **RECORD["protocol"],
        "images": 1000,
        "kid": {"subsets": 100, "subset_size": 1000},
        "weights": None,
        "chains": None,
    },
}


class Bench:
    """A root with experiments that were judged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = published(root, "PrepareDataset", {"dataset": {"name": "digits"}})

    def judge(self, name: str, steps: int, record: dict[str, Any], **more: Any) -> Artifact:
        """An experiment that trained for so many steps, with that result."""
        settings = {"seed": 0, "training": {"steps": steps}, **more}
        model = published(self.root, "TrainEBM", settings, {"PrepareDataset": self.data})
        evaluated = published(
            self.root,
            "EvaluateFID",
            {"evaluation": {"seed": 0}},
            {"PrepareDataset": self.data, "TrainEBM": model},
            metrics=record,
        )
        link(self.root, name, evaluated)
        return evaluated

    def forget_model(self, name: str) -> str:
        """Remove the trained model of an experiment; its task and fingerprint."""
        params = json.loads((self.root / "runs" / name / "EvaluateFID" / "params.json").read_text())
        model = Artifact(self.root, "TrainEBM", params["inputs"]["TrainEBM"]["fingerprint"])
        shutil.rmtree(model.path)
        return f"TrainEBM/{model.short}"

    def file(self, name: str, values: Any) -> str:
        path = self.root / name
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return str(path)

    def compare(self, *names: str, row: str = "fresh") -> Comparison:
        return compare(load_runs(names, self.root, row))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The record with one value in place of another."""
    record = copy.deepcopy(RECORD)
    *parents, last = path.split(".")
    part = record
    for key in parents:
        part = part[key]
    part[last] = value
    return record


@pytest.fixture
def two(bench: Bench) -> Bench:
    """A short run and a long one, measured alike; the long one is nearer to the data, by intervals that lie apart."""
    bench.judge(
        "short",
        30,
        changed("frechet_distance.fresh", 9.5) | {"intervals": {"fresh": {"frechet_distance": [9, 10]}}},
    )
    bench.judge("long", 3000, changed("protocol.chains.fresh.steps", 200))
    return bench


def test_only_settings_that_differ_are_told_whatever_task_they_are_of(two: Bench) -> None:
    assert two.compare("short", "long").settings == {"training.steps": {"short": 30, "long": 3000}}


def test_a_setting_that_one_run_has_not_is_told(bench: Bench) -> None:
    bench.judge("with", 30, RECORD, sngan={"width": 8, "steps": 9})
    bench.judge("without", 30, RECORD)
    assert bench.compare("with", "without").settings == {
        "sngan.steps": {"with": 9, "without": "-"},
        "sngan.width": {"with": 8, "without": "-"},
    }
    assert "sngan.* 2 settings -" in shown(bench.compare("with", "without"))
    bench.judge("with one", 30, RECORD, sngan={"width": 8})
    assert "sngan.width 8 -" in shown(bench.compare("with one", "without"))


def test_the_best_is_told_apart_by_intervals(two: Bench) -> None:
    (group,) = two.compare("short", "long").groups
    assert group.best == {"frechet_distance": "long", "kid": None, "precision": None}
    assert group.metrics["frechet_distance"]["short"] == (9.5, (9.0, 10.0), 0.95, None)
    assert group.metrics["kid"]["long"] == (-0.52, None, None, 0.89)
    assert group.verdicts[0] == (
        "By Frechet distance long is best: 2.85 against 9.5 of short. Its 95% interval lies apart from that of "
        "short."
    )
    assert group.verdicts[1] == "By KID none is best: short and long have -0.52."


def test_overlapping_intervals_are_said_not_to_be_told_apart(two: Bench) -> None:
    two.judge("longer", 4000, changed("frechet_distance.fresh", 3.0))
    (group,) = two.compare("long", "short", "longer").groups
    assert group.verdicts[0] == (
        "By Frechet distance long is best: 2.85 against 9.5 of short and 3 of longer. Its 95% interval lies apart "
        "from that of short. It cannot be told apart from longer: their 95% intervals overlap."
    )


@pytest.mark.parametrize(
    ("confidence", "why"),
    [
        (0.999, "their intervals are of different confidence (95% and 99.9%)"),
        (None, "the confidence of their intervals is not told"),
    ],
)
def test_intervals_of_unlike_confidence_are_not_set_against_each_other(
    two: Bench, confidence: Any, why: str
) -> None:
    """They part nobody, as the numbers are measured alike; but that they lie apart then says nothing."""
    other = changed("frechet_distance.fresh", 9.5)
    other["intervals"] = {"fresh": {"frechet_distance": [9, 10]}}
    other["protocol"]["intervals"] = {"draws": 200, "confidence": confidence}
    two.judge("other", 5, other)
    (group,) = two.compare("long", "other").groups
    assert group.verdicts[0] == (
        "By Frechet distance long is best: 2.85 against 9.5 of other. Nobody knows whether chance made it better "
        f"than other: {why}."
    )
    assert group.metrics["frechet_distance"]["other"].confidence == confidence


def test_without_intervals_chance_is_not_ruled_out_and_who_lacks_them_is_told(two: Bench) -> None:
    old = changed("frechet_distance.fresh", 4.0)
    old["kid"] = {"fresh": 2.0}
    del old["intervals"]
    two.judge("old", 5, old)
    words = "Nobody knows whether chance made it better than"
    (group,) = two.compare("long", "old", "short").groups
    assert group.best["kid"] is None
    assert group.verdicts[0].endswith(
        f"{words} old: no interval is known of old. Its 95% interval lies apart from that of short."
    )
    (group,) = two.compare("long", "old").groups
    assert group.best["kid"] == "long"
    assert group.verdicts[1].endswith(f"{words} old: no interval is known of long and old.")
    (group,) = two.compare("old", "short").groups
    assert group.verdicts[0].endswith(f"{words} short: no interval is known of old.")


def test_where_nothing_differs_one_sentence_says_so(two: Bench) -> None:
    two.judge("again", 5, copy.deepcopy(RECORD))
    (group,) = two.compare("long", "again").groups
    assert group.verdicts == (
        "None is best: long and again have the same Frechet distance, KID and precision.",
    )
    assert group.best == {"frechet_distance": None, "kid": None, "precision": None}


def test_a_spread_of_0_is_not_shown(two: Bench) -> None:
    """A KID of one subset, which is the whole set, has that spread; it says nothing of chance."""
    two.judge("whole", 5, changed("kid_spread.fresh", 0.0))
    compared = two.compare("whole", "long")
    assert "kid -0.52 -0.52 +- 0.89" in shown(compared)


def test_only_models_that_were_trained_here_are_said_to_be_trained_once(two: Bench) -> None:
    def said(*names: str, row: str = "fresh") -> list[str]:
        return [note.split(":")[0] for note in two.compare(*names, row=row).notes if "trained" in note]

    theirs, others = two.file("theirs.json", FILE), two.file("others.json", {**FILE, "kid": 2.0})
    two.judge("lone", 5, changed("protocol.seed", 1))
    assert said("short", "long") == said("short", "long", row="buffer") == ["Each run was trained once"]
    assert said("long", theirs) == ["long was trained once"]
    assert said("short", theirs, "long") == ["Each of short and long was trained once"]
    assert said("short", "lone", "long") == ["Each of short and long was trained once"]
    assert said(theirs, others) == said("long", "lone") == said("short", "long", row="real_test") == []


def test_metrics_are_those_that_are_numbers_for_the_row(two: Bench) -> None:
    (fresh,) = two.compare("short", "long").groups
    assert list(fresh.metrics) == ["frechet_distance", "kid", "precision", "class_entropy"]
    assert "class_entropy" not in fresh.best
    (buffer,) = two.compare("short", "long", row="buffer").groups
    assert list(buffer.metrics) == ["frechet_distance", "kid", "class_entropy"]
    assert buffer.metrics["frechet_distance"]["long"] == (2.33, (2.0, 2.6), 0.95, None)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("extractor.sha256", "b" * 64, "extractor.sha256 is bbbbbbbbbbbb, not 5a5a5a5a5a5a"),
        ("reference.split", "test", "reference.split is test, not train"),
        ("images.fresh", 999, "images is 999, not 1000"),
        ("kid.subsets", 5, "kid.subsets is 5, not 100"),
        ("kid.subset_size.fresh", 5, "kid.subset_size is 5, not 1000"),
        ("seed", 1, "seed is 1, not 0"),
        ("seed", None, "seed is not told, while group 1 has 0"),
        ("dtype", "float32", "dtype is float32, which group 1 does not tell"),
    ],
)
def test_runs_that_were_measured_otherwise_stand_apart(
    two: Bench, field: str, value: Any, words: str
) -> None:
    two.judge("other", 7, changed(f"protocol.{field}", value))
    compared = two.compare("short", "other", "long")
    assert [group.runs for group in compared.groups] == [("short", "long"), ("other",)]
    assert compared.groups[1].best == {}
    assert compared.groups[1].verdicts == ()
    assert f"Group 2, measured otherwise than group 1: {words}\n" in shown(compared)
    assert "Nothing is ranked across groups" in shown(compared)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", "last"),
        ("chains.fresh.seed", 1),
        ("chains", {}),
        ("images.buffer", 7),
        ("kid.subset_size.real_test", 7),
    ],
)
def test_what_the_number_does_not_depend_on_or_what_lies_in_a_models_nature_parts_nobody(
    two: Bench, field: str, value: Any
) -> None:
    two.judge("other", 7, changed(f"protocol.{field}", value))
    assert len(two.compare("long", "other").groups) == 1


def test_runs_against_other_images_stand_apart(bench: Bench) -> None:
    """Two data sets may have as many images, and one extractor may serve both."""
    for name, steps in (("digits", 30), ("digits again", 40)):
        bench.judge(name, steps, RECORD)
    bench.judge("others", 50, changed("protocol.reference.sha256", "ef" * 32))
    compared = bench.compare("digits", "others", "digits again")
    assert [group.runs for group in compared.groups] == [("digits", "digits again"), ("others",)]
    assert [difference.field for difference in compared.groups[1].differs] == ["reference.sha256"]


def test_a_file_of_numbers_stands_beside_a_run(two: Bench) -> None:
    compared = two.compare("long", two.file("theirs.json", FILE))
    (group,) = compared.groups
    assert list(group.metrics) == ["frechet_distance", "kid", "precision", "class_entropy"]
    assert group.best == {"frechet_distance": "long", "kid": "long"}
    assert group.metrics["frechet_distance"]["theirs.json"] == (4.5, (4.0, 5.0), 0.95, None)
    assert compared.settings == {}
    assert "theirs.json: a file of numbers, whose settings are not known." in compared.notes


def test_the_metrics_of_a_task_are_read_as_a_file_too(two: Bench) -> None:
    (group,) = two.compare("long", two.file("metrics.json", RECORD), row="buffer").groups
    assert group.metrics["frechet_distance"]["metrics.json"] == (2.33, (2.0, 2.6), 0.95, None)


def test_what_is_no_finite_number_is_no_metric(two: Bench) -> None:
    theirs = {**FILE, "recall": float("nan"), "coverage": True, "density": 1}
    (group,) = two.compare("long", two.file("theirs.json", theirs)).groups
    assert "recall" not in group.metrics
    assert "coverage" not in group.metrics
    assert group.metrics["density"]["theirs.json"].value == 1.0


def test_ways_to_name_a_run_lead_to_the_same_numbers(two: Bench) -> None:
    other = two.judge("other", 7, changed("kid.fresh", 3.0))
    folder = two.root / "runs" / "other"
    for name in ("other", str(folder), str(folder / "EvaluateFID"), str(other.path)):
        (group,) = two.compare("long", name).groups
        assert [cell.value for cell in group.metrics["kid"].values()] == [-0.52, 3.0]


def test_one_artifact_or_file_under_two_names_is_refused(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = two.file("a.json", FILE), two.root / "runs" / "long"
    link(two.root, "also", Artifact(two.root, "EvaluateFID", folder.joinpath("EvaluateFID").resolve().name))
    monkeypatch.chdir(two.root / "runs")
    for pair in [
        ("long", str(folder)),
        ("long", "./long"),
        ("./long", "long/EvaluateFID"),
        ("long", "also"),
        (file, "../a.json"),
    ]:
        with pytest.raises(ConfigError) as no:
            two.compare("short", *pair)
        one, other = pair
        assert str(no.value).startswith(f"{one} and {other} are the same, {two.root.resolve()}/")
        assert str(no.value).endswith("; name each run once")


def test_an_experiment_and_a_folder_of_its_name_both_stay(
    two: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (two.root / "short").symlink_to(two.root / "runs" / "long")
    monkeypatch.chdir(two.root)
    folder = str(Path.cwd() / "short")
    compared = two.compare("short", "./short")
    assert compared.runs == ("short", folder)
    cells = compared.groups[0].metrics["frechet_distance"]
    assert {label: cell.value for label, cell in cells.items()} == {"short": 9.5, folder: 2.85}


def test_runs_of_one_label_are_refused(two: Bench) -> None:
    with pytest.raises(ValueError, match=r"a label of its own. Received: \['long', 'long'\]"):
        compare(load_runs(["long", "short"], two.root, "fresh")[:1] * 2)


def test_settings_of_what_is_gone_are_told_as_unknown_and_differ_from_nothing(two: Bench) -> None:
    model = two.forget_model("short")
    two.judge("longer", 4000, RECORD)
    compared = two.compare("short", "long", "longer")
    assert compared.settings == {"training.steps": {"short": "?", "long": 3000, "longer": 4000}}
    assert f"short: {model} is not there any more, so its settings are not known." in compared.notes
    assert two.compare("short", "long").settings == {}


def test_an_input_that_came_out_otherwise_since_is_told(two: Bench) -> None:
    published(two.root, "PrepareDataset", {"dataset": {"name": "digits"}}, text="other images")
    name = f"PrepareDataset/{two.data.short}"
    assert f"long: {name} was rebuilt since and came out otherwise; the numbers are of the one before." in (
        two.compare("long", "short").notes
    )


def test_labels_are_as_short_as_they_can_be() -> None:
    assert labels(["runs/a", "b", "x/runs/c/"]) == ["a", "b", "c"]
    assert labels(["one/runs/a", "two/runs/a", "a"]) == ["one/runs/a", "two/runs/a", "a"]
    assert labels(["/a/r", "/b/r"]) == ["a/r", "b/r"]
    assert labels(["/r", "r"]) == ["/r", "r"]
    assert labels(["r", "./r", "x"]) == ["r", str(Path.cwd() / "r"), "x"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["long"], "compare takes two runs at least; received long"),
        (["long", "long"], "long is named twice; name each run once"),
        (["long", "other-data"], "is an artifact of PrepareDataset; give one of EvaluateFID"),
        (["long", "torn.json"], r"torn.json is not JSON \(.*\); give what evaluate --json printed"),
        (["long", "bare.json"], "bare.json has no protocol, so nobody knows how its numbers were measured"),
        (["long", "list.json"], "list.json has no protocol"),
        (["long", "empty.json"], "empty.json has no numbers"),
        (["long", "upside-down.json"], r"the interval of kid is \[2, 1\]; it has to be \[low, high\]"),
        (["long", "listed.json"], r"listed.json: intervals is \[1\]; it has to be \[low, high\] by metric"),
        (
            ["long", "row.json"],
            r"row.json: intervals is 3; it has to be \[low, high\] by metric, or left out",
        ),
        (
            ["long", "rows.json"],
            r"rows.json: intervals is \[1\]; it has to be told by row, as the titles are: fresh, b",
        ),
        (
            ["long", "flat.json"],
            r"flat.json has no numbers of the row 'fresh'; with titles each metric has to be told",
        ),
        (
            ["long", "untitled.json"],
            r"untitled.json does not name its rows: titles is {}; it has to be a title for",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(two: Bench, names: list[str], words: str) -> None:
    two.file("torn.json", "{")
    two.file("bare.json", {"frechet_distance": 1.0})
    two.file("list.json", [1])
    two.file("empty.json", {"protocol": {}, "exit_code": 0})
    two.file("upside-down.json", {**FILE, "intervals": {"kid": [2, 1]}})
    two.file("listed.json", {**FILE, "intervals": [1]})
    two.file("row.json", {**RECORD, "intervals": {"fresh": 3}})
    two.file("rows.json", {**RECORD, "intervals": [1]})
    two.file("flat.json", {**FILE, "titles": {"fresh": 1}})
    two.file("untitled.json", {**FILE, "titles": {}})
    places = {"other-data": str(two.data.path)}
    given = [places.get(name, str(two.root / name) if name.endswith(".json") else name) for name in names]
    with pytest.raises(ConfigError, match=words) as no:
        two.compare(*given)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    "record", [{**FILE, "titles": 3}, {**RECORD, "titles": dict.fromkeys(RECORD["titles"], 3)}]
)
def test_titles_are_no_metric(two: Bench, record: dict[str, Any]) -> None:
    (group,) = two.compare("long", two.file("theirs.json", record)).groups
    assert "theirs.json" in group.metrics["kid"]
    assert "titles" not in group.metrics


def test_a_row_that_a_run_has_not_is_refused_with_those_that_it_has(two: Bench) -> None:
    with pytest.raises(
        ConfigError, match="short has no row 'bufer'; --row takes one of fresh, buffer, real_test"
    ):
        two.compare("short", "long", row="bufer")


def test_a_run_that_is_not_there_is_refused_with_the_nearest_names(two: Bench) -> None:
    with pytest.raises(
        MissingInput, match=r"no run 'lnog': give .* or one of long, short; did you mean 'long'"
    ) as no:
        two.compare("lnog", "short")
    assert "\n" not in str(no.value)
    with pytest.raises(MissingInput, match=r"or one of the experiments in .*runs, which has none"):
        load_runs(["a", "b"], two.root / "elsewhere", "fresh")


def test_artifacts_are_named_as_for_show(two: Bench) -> None:
    ends = [(two.root / "runs" / name / "EvaluateFID").resolve() for name in ("long", "short")]
    runs = load_runs(["long/EvaluateFID", f"EvaluateFID/{ends[1].name[:8]}"], two.root, "fresh")
    assert [run.source for run in runs] == ends
    with pytest.raises(MissingInput, match="begins with 'EvaluateFID/0123456789'"):
        two.compare("EvaluateFID/0123456789", "long")


def test_a_run_that_was_not_judged_is_refused(two: Bench) -> None:
    link(two.root, "young", two.data)
    for name in ("young", str(two.root / "runs" / "young")):
        with pytest.raises(
            MissingInput, match="young has no EvaluateFID yet: run it with --task EvaluateFID"
        ):
            two.compare(name, "long")


@pytest.mark.parametrize("folder", ["artifacts/EvaluateFID", "artifacts", "runs"])
def test_a_folder_that_is_no_run_is_refused_with_what_is_taken(
    two: Bench, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(two.root)
    with pytest.raises(MissingInput) as no:
        two.compare("long", folder)
    assert str(no.value) == (
        f"the folder '{folder}' is no run; compare takes runs/EXPERIMENT or one artifact, "
        "artifacts/EvaluateFID/FINGERPRINT"
    )


@pytest.mark.parametrize("name", ["long/", "./long", "run/long"])
def test_the_name_of_an_experiment_written_as_a_path_is_refused(two: Bench, name: str) -> None:
    with pytest.raises(MissingInput) as no:
        two.compare("long", name)
    assert str(no.value) == (
        f"no file or folder '{name}': a name with / is a path from here; the experiment in {two.root / 'runs'} is "
        "named without, long"
    )


def test_a_run_whose_artifact_is_gone_or_damaged_is_refused(two: Bench) -> None:
    gone = two.judge("gone", 1, RECORD)
    (gone.path / "metrics.json").unlink()
    with pytest.raises(MissingInput, match=r"damaged artifact: .*metrics\.json is missing; rebuild it"):
        two.compare("gone", "long")
    gone.path.rename(gone.path.with_name(".elsewhere"))
    with pytest.raises(
        MissingInput, match=r"the artifact that .*EvaluateFID points to is gone: run it again"
    ):
        two.compare("gone", "long")


def test_the_command_prints_tables_or_one_object(two: Bench) -> None:
    def call(*more: str) -> Any:
        return CliRunner().invoke(app, ["compare", "short", "long", "--root", str(two.root), *more])

    printed = call()
    assert printed.exit_code == 0
    assert "training.steps" in printed.stdout
    assert "2.85 [2.5, 3.2] *" in printed.stdout
    assert "-0.52 +- 0.89" in printed.stdout
    answer = json.loads(call("--json").stdout)
    assert (answer["status"], answer["row"], answer["runs"]) == ("done", "fresh", ["short", "long"])
    assert answer["settings"] == {"training.steps": {"short": 30, "long": 3000}}
    (group,) = answer["groups"]
    assert group["best"]["frechet_distance"] == "long"
    assert group["metrics"]["frechet_distance"]["long"] == {
        "value": 2.85,
        "interval": [2.5, 3.2],
        "confidence": 0.95,
        "spread": None,
    }
    refused = call("--row", "none", "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["status"] == "bad_config"


def shown(compared: Comparison) -> str:
    """What a person is shown, not folded."""
    paper = io.StringIO()
    show_comparison(compared, Console(file=paper, width=250))
    return re.sub(" +", " ", paper.getvalue())
