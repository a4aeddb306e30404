"""Why a task would run: against which earlier artifact, and by which differences down to the roots."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.asking import inspect
from pipelines.asking.changes import differences
from pipelines.asking.explain import Cause, Explanation, explain
from pipelines.asking.inspect import step_named
from pipelines.commands.answers import settings_in_short, show_explanation, show_plan
from pipelines.lock import holder, locked
from pipelines.trees import tree
from tests.pipelines.built import build, build_all, change_record, step
from tests.pipelines.told import told

NEWER = Path(__file__).with_name("newer_command.py")


def words(found: Explanation) -> list[str]:
    return [cause.words for cause in found.causes]


def below(found: Explanation, name: str) -> Explanation:
    """What is said of an input of that name."""
    (cause,) = (cause for cause in found.causes if cause.name == name)
    assert cause.below is not None
    return cause.below


def roots(found: Explanation) -> set[str]:
    """The causes that have nothing below them."""
    return {
        line
        for cause in found.causes
        for line in ({cause.words} if cause.below is None else roots(cause.below))
    }


def test_a_setting_is_followed_down_to_where_it_is_read(tmp_path: Path) -> None:
    before = build_all(step(tmp_path, "EvaluateFID"))
    found = explain(step(tmp_path, "EvaluateFID", "langevin.steps=7"))
    assert (found.state, found.compared) == ("run", before.key)
    assert found.compared_started == "2024-05-01T12:00:00+00:00"
    assert words(found) == ["input GenerateSamples changes"]
    samples = below(found, "GenerateSamples")
    assert samples.causes[0] == Cause("setting", "langevin.steps was 20, is 7", "langevin.steps", 20, 7)
    assert words(below(samples, "TrainEBM")) == ["langevin.steps was 20, is 7"]
    assert roots(found) == {"langevin.steps was 20, is 7"}


def test_all_differences_are_told_where_the_plan_names_the_first(tmp_path: Path) -> None:
    build_all(step(tmp_path, "EvaluateFID"))
    changed = step(tmp_path, "EvaluateFID", "evaluation.seed=5", "training.steps=9")
    assert words(explain(changed)) == [
        "evaluation.seed was 0, is 5",
        "input BaselineStatistics changes",
        "input GenerateSamples changes",
    ]
    assert inspect.plan(changed)[-1].reason == "setting evaluation.seed was 0, is 5"


def test_every_reason_of_a_plan_is_a_cause_of_its_explanation(tmp_path: Path) -> None:
    build_all(step(tmp_path, "EvaluateFID"))
    changed = step(tmp_path, "EvaluateFID", "langevin.steps=7", "evaluation.seed=5")
    reasons = {row.task: row.reason for row in inspect.plan(changed) if row.state == "run"}
    assert reasons
    for task in tree(changed):
        if task.title in reasons:
            assert reasons[task.title].replace("setting ", "").split("; ")[0] in words(explain(task))


def test_inputs_are_compared_with_those_that_the_earlier_one_was_made_from(tmp_path: Path) -> None:
    """Newer models were trained, but never judged."""
    build_all(step(tmp_path, "EvaluateFID", "langevin.steps=9"))
    for steps in (7, 8):
        build_all(step(tmp_path, "GenerateSamples", f"langevin.steps={steps}"), started="2024-06-01T12:00:00")
    found = explain(step(tmp_path, "EvaluateFID", "langevin.steps=7"))
    samples = below(found, "GenerateSamples")
    assert samples.state == "reuse"
    assert samples.compared == step(tmp_path, "GenerateSamples", "langevin.steps=9").key
    assert roots(found) == {"langevin.steps was 9, is 7"}


def test_the_nearest_is_the_one_with_the_fewest_changes_in_all_that_it_stands_on(tmp_path: Path) -> None:
    """The settings of an evaluation do not tell its models apart; the newest is not the nearest."""
    near = build_all(step(tmp_path, "EvaluateFID", "langevin.steps=9"))
    build_all(
        step(tmp_path, "EvaluateFID", "training.steps=8", "langevin.steps=5"), started="2024-06-01T12:00:00"
    )
    assert explain(step(tmp_path, "EvaluateFID", "langevin.steps=7")).compared == near.key


def test_a_result_of_other_images_is_farther_than_any_of_these(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM", "dataset.name=digits_stroke"))
    near = build_all(step(tmp_path, "TrainEBM", "seed=4", "langevin.steps=9", "loss.kl=0.5"))
    assert explain(step(tmp_path, "TrainEBM")).compared == near.key


def test_of_equally_near_ones_the_newest_is_compared_with(tmp_path: Path) -> None:
    build_all(step(tmp_path, "PrepareDataset", "dataset.size=9"), started="2024-05-03T00:00:00+00:00")
    newest = build_all(
        step(tmp_path, "PrepareDataset", "dataset.size=7"), started="2024-05-04T00:00:00+00:00"
    )
    build_all(step(tmp_path, "PrepareDataset", "dataset.size=5"), started="2099-05-04T00:00:00+00:00")
    assert explain(step(tmp_path, "PrepareDataset")).compared == newest.key


def test_what_was_never_built_says_so(tmp_path: Path) -> None:
    found = explain(step(tmp_path, "TrainEBM"))
    assert (found.state, found.compared, words(found)) == ("run", None, ["never built"])
    assert not list(tmp_path.iterdir())


def test_inputs_that_came_and_went_are_named(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM"))
    unjudged = step(tmp_path, "TrainEBM", "selection.every=0")
    assert words(explain(unjudged)) == [
        "selection.every was 1000, is 0",
        "input Extractor is read no more",
        "input ReferenceStatistics is read no more",
    ]
    build_all(unjudged)
    shutil.rmtree(step(tmp_path, "TrainEBM").artifact.path)
    found = explain(step(tmp_path, "TrainEBM"))
    assert words(found)[1:] == ["input Extractor is new", "input ReferenceStatistics is new"]
    extractor = below(found, "Extractor")
    assert (extractor.state, extractor.causes) == ("reuse", ())
    text = told(show_explanation, found)
    assert f"{extractor.artifact}: up to date" in text and "never built" not in text


def test_a_wanted_rebuild_is_a_cause_and_reaches_what_stands_on_it(tmp_path: Path) -> None:
    evaluated = build_all(step(tmp_path, "EvaluateFID"))
    model = step(tmp_path, "TrainEBM")
    model.artifact.want_rebuild()
    assert words(explain(model)) == ["forced"]
    missing = step(tmp_path, "TrainEBM", "langevin.steps=7")
    missing.artifact.want_rebuild()
    assert words(explain(missing)) == ["forced", "langevin.steps was 20, is 7"]
    found = explain(evaluated)
    assert (found.state, words(found)) == ("run", ["input GenerateSamples changes"])
    assert found.compared == evaluated.key
    assert roots(found) == {"forced"}


def test_a_rebuilt_input_is_told_from_a_changed_one(tmp_path: Path) -> None:
    evaluated = build_all(step(tmp_path, "EvaluateFID"))
    model = step(tmp_path, "TrainEBM")
    build(model, text="otherwise")
    samples = explain(step(tmp_path, "GenerateSamples"))
    assert (samples.state, words(samples)) == ("run", ["input TrainEBM was rebuilt"])
    assert roots(explain(evaluated)) == {"input TrainEBM was rebuilt"}


def test_damage_is_said_and_that_a_run_would_refuse(tmp_path: Path) -> None:
    evaluated = build_all(step(tmp_path, "EvaluateFID"))
    model = step(tmp_path, "TrainEBM").artifact
    (model.path / "data.txt").unlink()
    found = explain(evaluated)
    assert words(found) == ["input GenerateSamples changes"]
    assert words(below(found, "GenerateSamples")) == ["input TrainEBM is damaged"]
    (line,) = roots(found)
    assert line.startswith(f"damaged artifact: {model.path / 'data.txt'} is missing")
    assert [found.state, below(found, "GenerateSamples").state] == ["refuse", "refuse"]
    top = told(show_explanation, found).splitlines()[0]
    assert "a run would refuse" in top and "would run" not in top
    with pytest.raises(MissingInput, match=r"damaged artifact: .*data\.txt is missing"):
        inspect.plan(evaluated)


def test_a_record_of_a_newer_format_is_named_and_never_compared_with(tmp_path: Path) -> None:
    model = build_all(step(tmp_path, "TrainEBM"))
    change_record(model.artifact, format=99)
    assert "is of format 99" in words(explain(model))[0]
    assert words(explain(step(tmp_path, "TrainEBM", "langevin.steps=7"))) == ["never built"]


def test_that_a_run_would_refuse_is_an_answer_and_no_error(lab: Any) -> None:
    lab.run("run", "--task", "GenerateSamples")
    record = lab.artifacts("TrainEBM")[0] / "params.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format": 2}))
    found = lab.answer("explain", "--task", "GenerateSamples")
    assert (found["status"], found["exit_code"], found["state"]) == ("done", 0, "refuse")
    assert lab.run("plan", "GenerateSamples").returncode == 4


def test_what_is_being_built_is_told_with_who_builds_it(tmp_path: Path) -> None:
    images, model = (step(tmp_path, task) for task in ("PrepareDataset", "TrainEBM"))
    build_all(images)
    with locked(model.artifact):
        found = explain(model)
        assert (found.owner, words(found)) == (holder(model.artifact), ["never built"])
        assert f": would run; being built by process {found.owner}" in told(show_explanation, found)
    assert explain(model).owner is None


def test_samples_of_another_model_are_no_earlier_ones(tmp_path: Path) -> None:
    build_all(step(tmp_path, "EvaluateFID"))
    samples, judged = (
        step_named(f"{task} (sngan)", load_experiment("digits"), tmp_path)
        for task in ("GenerateSamples", "EvaluateFID")
    )
    assert words(explain(samples)) == ["never built"]
    keys = {
        "sngan": "steps seconds batch_size discriminator_steps latent_size log_every grid_every checkpoint_every",
        "evaluation": "seed baseline_count kid_subsets kid_subset_size inception_score_splits bootstrap",
        "extractor": "epochs batch_size seed",
    }
    many = [f"{section}.{key}=7" for section, listed in keys.items() for key in listed.split()]
    near = build_all(step(tmp_path, "EvaluateFID", "sampling.source=sngan", *many))
    assert explain(judged).compared == near.key


def test_a_record_that_does_not_tell_what_it_was_made_from_is_named(tmp_path: Path) -> None:
    """Of the artifact itself; that of another one is no hindrance."""
    model = build_all(step(tmp_path, "TrainEBM"))
    other = build_all(step(tmp_path, "TrainEBM", "langevin.steps=7"))
    made_from = other.artifact.params()["inputs"]
    made_from["PrepareDataset"]["task"] = 7
    change_record(other.artifact, inputs=made_from)
    assert explain(model).made_from
    with pytest.raises(
        MissingInput, match=r"damaged artifact: .*params\.json does not tell what it was .*; rebu"
    ):
        explain(other)
    assert words(explain(step(tmp_path, "TrainEBM", "langevin.steps=8"))) == ["langevin.steps was 20, is 8"]


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": math.nan}, {"seconds": math.inf}, {"seconds": -1}, {"seconds": 10**400}, {"seconds": "1"},
     {"versions": [1]}, {"versions": None}, {"attempts": []}, {"started": 7}],
)  # fmt: skip
def test_what_a_record_says_in_another_form_is_left_out(tmp_path: Path, wrong: dict[str, Any]) -> None:
    model = build_all(step(tmp_path, "TrainEBM"))
    change_record(model.artifact, **wrong)
    found = explain(model)
    assert found.made_from
    assert f"{model.key}: up to date" in told(show_explanation, found)
    json.dumps(asdict(found), allow_nan=False)
    changed = explain(step(tmp_path, "TrainEBM", "langevin.steps=7"))
    assert changed.compared == model.key
    assert "compared with" in told(show_explanation, changed)
    rows = inspect.plan(step(tmp_path, "TrainEBM", "langevin.steps=7"))
    assert (rows[-1].seconds is None) == ("seconds" in wrong)
    assert "1 would run" in told(show_plan, rows)


def test_an_input_that_was_removed_is_told_with_what_else_changes_it(tmp_path: Path) -> None:
    """There is another model to compare with, but it is not the one that the samples were drawn from."""
    samples = build_all(step(tmp_path, "GenerateSamples"))
    build_all(step(tmp_path, "GenerateSamples", "langevin.steps=7"))
    shutil.rmtree(step(tmp_path, "TrainEBM").artifact.path)
    assert explain(samples).state == "reuse"
    step(tmp_path, "PrepareDataset").artifact.want_rebuild()
    found = explain(samples)
    assert words(found) == ["input PrepareDataset changes", "input TrainEBM changes"]
    model = below(found, "TrainEBM")
    assert (model.state, model.compared) == ("run", None)
    assert words(model)[:2] == ["its artifact was removed since", "input PrepareDataset changes"]
    assert roots(found) == {"its artifact was removed since", "forced"}


def test_what_is_up_to_date_says_what_it_was_made_from_and_what_would_change_it(tmp_path: Path) -> None:
    samples = build_all(step(tmp_path, "GenerateSamples"))
    found = explain(samples)
    assert (found.state, found.causes) == ("reuse", ())
    assert found.made_from == {name: made.key for name, made in samples.sources().items()}
    assert (found.record["started"], found.record["seconds"]) == ("2024-05-01T12:00:00+00:00", 10.0)
    assert "langevin.steps" in found.depends_on["TrainEBM"]
    assert "sampling.count" in found.depends_on["GenerateSamples"]
    assert "dataset.name" in found.depends_on["PrepareDataset"]
    assert "evaluation.seed" not in {name for names in found.depends_on.values() for name in names}
    assert "PrepareDataset: dataset.*" in told(show_explanation, found)


def test_what_is_up_to_date_says_why_it_was_built(tmp_path: Path) -> None:
    """The first is compared with nothing, although a later one is there."""
    first = build_all(step(tmp_path, "GenerateSamples"))
    later = build_all(step(tmp_path, "GenerateSamples", "langevin.steps=7"))
    for task in (later, later.sources()["TrainEBM"]):
        change_record(task.artifact, started="2024-05-02T12:00:00+00:00")
    found = explain(later)
    assert (found.state, found.causes, found.compared) == ("reuse", (), first.key)
    assert [cause.words for cause in found.was_built] == [
        "langevin.steps was 20, is 7", "input TrainEBM changes",
    ]  # fmt: skip
    model = found.was_built[1].below
    assert model is not None and words(model) == ["langevin.steps was 20, is 7"]
    text = told(show_explanation, found)
    assert f"built although {first.key} of 2024-05-01 12:00 UTC" in text
    assert "setting langevin.steps was 20, is 7" in text
    assert (explain(first).was_built, explain(first).compared) == ((), None)


@pytest.mark.parametrize(
    "name", ["langevin.steps", "dataset.size", "extractor.epochs", "sampling.count", "seed"]
)
def test_the_settings_named_do_make_it_run_again(tmp_path: Path, name: str) -> None:
    samples = build_all(step(tmp_path, "GenerateSamples"))
    assert any(name in names for names in explain(samples).depends_on.values())
    assert explain(step(tmp_path, "GenerateSamples", f"{name}=31")).state == "run"


def test_differences_that_do_not_count_are_a_remark(tmp_path: Path) -> None:
    model = build_all(step(tmp_path, "TrainEBM"))
    assert explain(model).remarks == ()
    params = model.artifact.params()
    change_record(
        model.artifact,
        versions={**params["versions"], "numpy": "1.0", "lost": "2"},
        git_revision="abc",
        host="PDP",
    )
    found = explain(model)
    assert found.state == "reuse"
    assert [remark.split(",")[0] for remark in found.remarks] == [
        "numpy was 1.0", "lost was 2", "git revision was abc", "machine was PDP",
    ]  # fmt: skip
    assert found.remarks[1] == "lost was 2, is not there"
    change_record(model.artifact, versions={}, git_revision=None)
    assert [remark.split(",")[0] for remark in explain(model).remarks] == ["machine was PDP"]
    assert "which makes nothing run: numpy was 1.0" in told(show_explanation, found)


def test_sections_are_told_in_short_only_as_a_whole() -> None:
    whole = [f"loss.{key}" for key in (
        "kl", "entropy", "regularisation", "entropy_images", "entropy_minimum_fill", "entropy_epsilon",
    )]  # fmt: skip
    assert settings_in_short(["seed", *whole, "sampling.count"]) == ["seed", "loss.*", "sampling.count"]
    assert settings_in_short(whole[1:]) == whole[1:]


def test_what_was_told_is_referred_to(tmp_path: Path) -> None:
    """Every task reads the images; why they change is said once."""
    build_all(step(tmp_path, "EvaluateFID"))
    text = told(show_explanation, explain(step(tmp_path, "EvaluateFID", "dataset.limit=50")))
    assert text.count("setting dataset.limit was None, is 50") == 1
    assert f"{step(tmp_path, 'PrepareDataset', 'dataset.limit=50').key}: as above" in text


def test_another_version_of_one_stage_reruns_it_and_what_hangs_on_it(lab: Any) -> None:
    lab.run("run", "--task", "GenerateSamples")
    lab.calls()
    lab.program = NEWER
    found = lab.answer("explain", "GenerateSamples")
    assert (found["status"], found["exit_code"], found["state"]) == ("done", 0, "run")
    assert [cause["words"] for cause in found["causes"]] == ["input TrainEBM changes"]
    (cause,) = found["causes"][0]["below"]["causes"]
    assert (cause["kind"], cause["words"], cause["was"], cause["now"]) == (
        "version", "code version was 3, is 4", 3, 4,
    )  # fmt: skip
    lab.run("run", "--task", "GenerateSamples")
    assert lab.calls() == ["TrainEBM", "GenerateSamples"]
    assert "up to date" in lab.run("explain", "GenerateSamples").stdout


def test_a_task_that_is_none_is_refused(lab: Any) -> None:
    done = lab.run("explain", "EvalFID")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown task 'EvalFID'; did you mean EvaluateFID?" in done.stderr


def test_a_task_that_is_there_several_times_is_named_by_its_title(tmp_path: Path) -> None:
    sharded = load_experiment("digits", ["sampling.shard_size=500"])
    with pytest.raises(
        ConfigError, match=r"DrawSamples is there 4 times, as 'DrawSamples \(shard 1 of 2\)' for one"
    ):
        step_named("DrawSamples", sharded, tmp_path)
    assert step_named("DrawSamples (shard 2 of 2)", sharded, tmp_path).settings["shard"] == [500, 500]


def test_lists_are_compared_item_by_item() -> None:
    was = {"ood": {"datasets": [{"name": "dtd", "size": 8}], "synthetic": ["rotated"]}}
    now = {"ood": {"datasets": [{"name": "dtd", "size": 9}], "synthetic": ["rotated", "inverted"]}}
    assert [change.words for change in differences(was, now)] == [
        "ood.datasets.0.size was 8, is 9",
        "ood.synthetic was ['rotated'], is ['rotated', 'inverted']",
    ]
    assert differences(was, was) == []


def test_items_of_lists_that_came_or_went_are_named_in_words() -> None:
    few, more = ({"datasets": [{"name": str(number), "size": 8} for number in range(n)]} for n in (9, 11))
    assert [change.words for change in differences(few, more)] == [
        "datasets.9 was added",
        "datasets.10 was added",
    ]
    assert [change.words for change in differences(more, few)] == [
        "datasets.9 was removed",
        "datasets.10 was removed",
    ]
    assert [change.words for change in differences({"datasets": []}, {"datasets": [{"name": "dtd"}]})] == [
        "datasets.0 was added"
    ]


def test_sections_that_are_read_no_more_are_named_in_words() -> None:
    found = differences({"seed": 0, "model": {"width": 1.0}}, {"seed": 1, "sngan": {"steps": 3}})
    assert [change.words for change in found] == ["model was removed", "seed was 0, is 1", "sngan was added"]
