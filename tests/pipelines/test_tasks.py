"""Which setting makes which result new."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebm_tf.config import Dataset, Experiment, leaves
from ebm_tf.config_files import available_configs, load_experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines import knowledge
from pipelines.commands.options import TASK_NAMES
from pipelines.running.runner import Request, execute
from pipelines.tasks import (
    TASKS,
    CompareModels,
    ComposeModels,
    EvaluateFID,
    EvaluateOOD,
    GenerateSamples,
    Report,
    TrainEBM,
    task_named,
)
from pipelines.trees import all_tasks, check, tree

BASE = Experiment()
OF_THE_DATA = {
    "PrepareDataset", "TrainFeatureExtractor", "ImportFeatureExtractor", "ReferenceStatistics", "BaselineStatistics",
}  # fmt: skip
OF_THE_MODEL = set(TASKS) - OF_THE_DATA
STUDIES = {"StudyNoiseInit", "StudyTruncation", "StudyCollapse"}
OF_STUDIES = {"JudgeTraining", *STUDIES}
ON_REQUEST = {"ReproducePaper", *OF_STUDIES}
JUDGED = {"EvaluateFID", "CompareModels", "Report", "ReproducePaper"}
SAMPLED = {"GenerateSamples", "RetrieveNeighbours", *JUDGED}
SHARDS = {"DrawSamples", "MeasureShard"}
DRAWN = SAMPLED | SHARDS
FEATURES = {"ReferenceStatistics", "BaselineStatistics", "MeasureShard"}


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
            OF_THE_MODEL - {"TrainSNGAN", "ShowAugmentations"},
        ),
        ("evaluation", {"kid_subsets": 7}, JUDGED),
        ("evaluation", {"seed": 7}, {"BaselineStatistics", *JUDGED, *OF_STUDIES}),
        ("evaluation", {"confidence": 0.5}, JUDGED | STUDIES),
        (
            "extractor",
            {"epochs": 7},
            {"TrainFeatureExtractor", "ComposeModels", *FEATURES, *JUDGED, *OF_STUDIES},
        ),
        (
            "extractor",
            {"name": "pixels"},
            {"ImportFeatureExtractor", *FEATURES, *JUDGED, *OF_STUDIES},
        ),
        (
            "selection",
            {"every": 7},
            OF_THE_MODEL - {"TrainSNGAN", "ShowAugmentations", "ComposeModels", *STUDIES},
        ),
        ("sampling", {"count": 7}, DRAWN | OF_STUDIES),
        ("sampling", {"steps": 7}, DRAWN | OF_STUDIES | {"ComposeModels", "ExportModel"}),
        ("sampling", {"sampler": "mala"}, DRAWN | OF_STUDIES | {"ExportModel"}),
        ("sampling", {"temperature": 0.5}, DRAWN | OF_STUDIES | {"ExportModel"}),
        ("sampling", {"source": "sngan"}, DRAWN - {"CompareModels", "ReproducePaper"} | {"JudgeTraining"}),
        ("sampling", {"film_frames": 7}, SAMPLED),
        ("sampling", {"shard_size": 250}, SAMPLED),
        ("sampling", {"shard_size": BASE.sampling.count}, set()),
        ("sngan", {"steps": 7}, {"TrainSNGAN", "CompareModels", "ReproducePaper"}),
        ("augmentation", {"flip": True}, OF_THE_MODEL - {"TrainSNGAN", "ComposeModels"}),
        ("ood", {"count": 7}, {"EvaluateOOD", "ReproducePaper"}),
        ("neighbours", {"k": 7}, {"RetrieveNeighbours", "Report", "ReproducePaper"}),
        ("studies", {"seeds": (4, 5)}, STUDIES | {"ReproducePaper"}),
        ("compute", {"threads": 7}, set()),
        ("seed", {}, OF_THE_MODEL - STUDIES),  # these have seeds of their own
    ],
)
def test_a_setting_renews_what_depends_on_it(
    section: str, values: dict[str, object], changed: set[str]
) -> None:
    assert changed_tasks(section, **values) == changed


def test_every_slice_is_a_section_of_the_experiment() -> None:
    known = {*Experiment.model_fields, *(path for path, _ in leaves(Experiment))}
    experiment = BASE.model_dump(mode="json")
    assert {name for task in TASKS.values() for name in task.settings_of(experiment)} <= known


def test_the_report_stands_on_what_it_shows() -> None:
    assert {step.name() for step in tree(Report.of(BASE, Path("/r")))} == {
        "Report",
        "TrainFeatureExtractor",
        *(task.name() for task in Report.UPSTREAM),
    }


def test_the_extractor_that_is_named_is_the_one_that_is_made() -> None:
    def made_by(**extractor: object) -> set[str]:
        steps = tree(EvaluateFID.of(Experiment(extractor=extractor), Path("/r")))
        return {step.name() for step in steps} & {"TrainFeatureExtractor", "ImportFeatureExtractor"}

    assert made_by() == {"TrainFeatureExtractor"}
    assert made_by(name="random-conv") == {"ImportFeatureExtractor"}


def test_a_task_without_use_is_not_listed() -> None:
    names = [step.name() for step in all_tasks(BASE, Path("/r"))]
    assert "ImportFeatureExtractor" not in names
    assert set(TASKS) - set(names) == {"ImportFeatureExtractor", *SHARDS, *ON_REQUEST}
    with pytest.raises(
        ConfigError, match=r"extractor\.name is classifier, which TrainFeatureExtractor trains"
    ):
        check(task_named("ImportFeatureExtractor").of(BASE, Path("/r")))


def test_without_selection_training_does_not_depend_on_how_samples_are_judged() -> None:
    assert {step.name() for step in tree(TrainEBM.of(BASE, Path("/r")))} == {"PrepareDataset", "TrainEBM"}
    selecting = Experiment(selection={"every": 100})
    assert {step.name() for step in tree(TrainEBM.of(selecting, Path("/r")))} == {
        "PrepareDataset",
        "TrainFeatureExtractor",
        "ReferenceStatistics",
        "TrainEBM",
    }


def test_selection_may_have_an_extractor_of_its_own() -> None:
    def identity(**settings: object) -> str:
        return TrainEBM.of(Experiment(**settings), Path("/r")).fingerprint

    own = {"every": 100, "extractor": "classifier"}
    assert identity(selection=own) == identity(selection=own, extractor={"name": "pixels"})
    assert identity(selection={"every": 100}) != identity(
        selection={"every": 100}, extractor={"name": "pixels"}
    )


def test_weights_that_are_missing_are_told_of_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EBM_INCEPTION", raising=False)
    experiment = load_experiment("digits", ["extractor.name=inception"])
    with pytest.raises(MissingInput, match="EBM_INCEPTION"):
        check(EvaluateFID.of(experiment, Path("/r")))


def test_samples_of_the_baseline_do_not_depend_on_the_chain() -> None:
    def of(**langevin: object) -> Experiment:
        return Experiment(sampling={"source": "sngan"}, langevin=langevin)

    def identity(experiment: Experiment) -> str:
        return GenerateSamples.of(experiment, Path("/r")).fingerprint

    assert identity(of(steps=7)) == identity(of(steps=8))
    assert [step.name() for step in GenerateSamples.of(of(), Path("/r")).requires()] == [
        "PrepareDataset",
        "TrainSNGAN",
    ]


def test_samples_in_shards_have_a_task_for_each() -> None:
    experiment = Experiment(sampling={"count": 11, "batch_size": 2, "shard_size": 4})
    samples = GenerateSamples.of(experiment, Path("/r"))
    assert [step.title for step in tree(samples)] == [
        "PrepareDataset",
        "TrainEBM",
        "DrawSamples (shard 1 of 3)",
        "DrawSamples (shard 2 of 3)",
        "DrawSamples (shard 3 of 3)",
        "GenerateSamples",
    ]
    shards = [step for step in tree(samples) if step.name() == "DrawSamples"]
    assert [shard.settings["shard"] for shard in shards] == [[0, 4], [4, 4], [8, 3]]
    assert len({shard.fingerprint for shard in shards}) == 3
    assert all(shard.resources == {"accelerator": 1} for shard in shards)
    model = TrainEBM.of(experiment, Path("/r"))
    below = [shard.sources()["TrainEBM"] for shard in shards]
    assert all((step.task_id, step.experiment) == (model.task_id, model.experiment) for step in below)
    assert [step.title for step in all_tasks(experiment, Path("/r"))].count("DrawSamples (shard 2 of 3)") == 1


def test_samples_in_shards_are_measured_in_shards() -> None:
    experiment = Experiment(sampling={"count": 11, "batch_size": 2, "shard_size": 4})
    judged = EvaluateFID.of(experiment, Path("/r"))
    parts = [judged.sources()[f"shard {number}"] for number in (1, 2, 3)]
    assert [part.title for part in parts] == [f"MeasureShard (shard {number} of 3)" for number in (1, 2, 3)]
    assert [part.settings for part in parts] == [{"shard": shard} for shard in ([0, 4], [4, 4], [8, 3])]
    assert all(part.resources == {"accelerator": 1} for part in parts)
    drawn = GenerateSamples.of(experiment, Path("/r")).sources()
    for number, part in enumerate(parts, start=1):
        below = part.sources()
        assert set(below) == {"Extractor", "DrawSamples"}
        assert below["DrawSamples"].task_id == drawn[f"shard {number}"].task_id
        assert below["Extractor"].experiment == judged.experiment, "it does not know of shards"
        assert below["Extractor"].task_id == judged.sources()["Extractor"].task_id
    titles = [step.title for step in tree(CompareModels.of(experiment, Path("/r")))]
    assert (
        titles.count("MeasureShard (shard 3 of 3)") == titles.count("MeasureShard (sngan shard 3 of 3)") == 1
    )
    assert titles.index("MeasureShard (shard 1 of 3)") < titles.index("EvaluateFID")


def test_what_is_judged_by_changes_no_features_of_shards() -> None:
    """Another way to measure takes what the shards have; another extractor does not."""

    def parts(**sections: object) -> set[str]:
        sharded = {"sampling": {"count": 4, "batch_size": 2, "shard_size": 2}, **sections}
        steps = tree(EvaluateFID.of(Experiment(**sharded), Path("/r")))
        return {step.fingerprint for step in steps if step.name() == "MeasureShard"}

    assert len(parts()) == 2
    assert parts(evaluation={"kid_subsets": 7, "bootstrap": 7}) == parts()
    assert parts(extractor={"name": "pixels"}).isdisjoint(parts())


def test_the_baseline_is_drawn_in_shards_beside_the_model() -> None:
    experiment = Experiment(sampling={"count": 4, "batch_size": 2, "shard_size": 2})
    titles = [step.title for step in tree(CompareModels.of(experiment, Path("/r")))]
    assert [title for title in titles if title.startswith("DrawSamples")] == [
        "DrawSamples (shard 1 of 2)",
        "DrawSamples (shard 2 of 2)",
        "DrawSamples (sngan shard 1 of 2)",
        "DrawSamples (sngan shard 2 of 2)",
    ]


def test_a_shard_by_itself_is_refused_with_what_to_run() -> None:
    for experiment in (BASE, Experiment(sampling={"count": 4, "batch_size": 2, "shard_size": 2})):
        for name in SHARDS:
            with pytest.raises(
                ConfigError, match=r"of one shard of the samples; run GenerateSamples or Eval"
            ):
                check(task_named(name).of(experiment, Path("/r")))


def test_a_comparison_judges_both_models_and_shares_what_they_share() -> None:
    steps = tree(CompareModels.of(BASE, Path("/r")))
    assert [step.title for step in steps] == [
        "PrepareDataset",
        "TrainFeatureExtractor",
        "ReferenceStatistics",
        "BaselineStatistics",
        "TrainEBM",
        "TrainSNGAN",
        "GenerateSamples",
        "GenerateSamples (sngan)",
        "EvaluateFID",
        "EvaluateFID (sngan)",
        "CompareModels",
    ]
    assert steps[8].fingerprint == EvaluateFID.of(BASE, Path("/r")).fingerprint


def test_a_member_of_a_composition_is_the_model_of_its_own_config(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("name: other\nlangevin: {steps: 7}\n")
    composed = Experiment(
        model={"conditional": True}, compose={"members": [{"label": 1}, {"config": str(other), "label": 2}]}
    )
    sources = ComposeModels.of(composed, Path("/r")).sources()
    assert sources["member 1"].fingerprint == TrainEBM.of(composed, Path("/r")).fingerprint
    assert sources["member 2"].fingerprint == TrainEBM.of(load_experiment(other), Path("/r")).fingerprint
    assert sources["member 2"].title == "TrainEBM (other)"
    assert sources["member 1 data"].fingerprint == sources["member 2 data"].fingerprint


def test_other_data_sets_come_in_the_size_of_the_experiments() -> None:
    other = {"name": "idx", "path": "/x"}
    experiment = Experiment(ood={"datasets": [other, {**other, "size": 9, "colour": "rgb"}]})
    sources = EvaluateOOD.of(experiment, Path("/r")).sources()
    sections = [sources[f"PrepareDataset {number}"].settings["dataset"] for number in (1, 2)]
    assert [section["size"] for section in sections] == [8, 9]
    assert [section["colour"] for section in sections] == ["grey", "rgb"]
    titles = [sources[f"PrepareDataset {number}"].title for number in (1, 2)]
    assert titles == ["PrepareDataset (idx)", "PrepareDataset (idx 2)"]


@pytest.mark.parametrize("config", available_configs())
def test_every_task_of_every_shipped_config_can_be_run(config: str) -> None:
    """But for compositions of configs that name none, classes where there are none, and files that are not here."""
    experiment = load_experiment(config)
    for task in TASKS.values():
        if not task.applies(experiment.model_dump(mode="json")):
            continue
        try:
            check(task.of(experiment, Path("/r")))
        except ConfigError as refused:
            assert "compose.members has 0" in str(refused) or "has no labels" in str(refused), task.name()
        except MissingInput as missing:
            assert "dataset.path is" in str(missing) or "EBM_INCEPTION" in str(missing)


def test_the_help_names_every_task() -> None:
    assert TASK_NAMES.split(", ") == list(TASKS)


def test_a_composition_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"compose.members has 1 of the at least 2"):
        ComposeModels.demand(Experiment(compose={"members": [{}]}).model_dump(mode="json"))


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


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ("EvaluateFID", {"dataset": {"name": "lsun/bedroom", "size": 128}}, "lsun/bedroom has no labels"),
        ("TrainEBM", {"model": {"architecture": "table2"}}, "the network halves its images 5 times"),
        (
            "TrainEBM",
            {"dataset": {"name": "celeb_a_hq/128"}, "model": {"conditional": True}},
            "model.conditional is true, but the data set has 0 classes",
        ),
        (
            "GenerateSamples",
            {"model": {"conditional": True}, "sampling": {"labels": [10]}},
            "sampling.labels has 10, but the data set's classes are 0 to 9",
        ),
        ("TrainSNGAN", {"dataset": {"size": 9}}, "does not give images of 9x9"),
        (
            "EvaluateOOD",
            {"ood": {"datasets": [{"name": "cifar10", "size": 9}]}},
            "give that entry size=8 and colour=grey",
        ),
        ("GenerateSamples", {"sampling": {"augment_every": 2}}, "sampling.augment_every is 2, but no augm"),
        ("GenerateSamples", {"sampling": {"sampler": "mala", "noise_scale": 0}}, "its temperature is 0"),
        ("GenerateSamples", {"sampling": {"temperature": 1}}, "the langevin sampler has none"),
        ("ExportModel", {"sampling": {"temperature": 1}}, "the langevin sampler has none"),
        ("ExportModel", {"sampling": {"sampler": "mala", "noise_scale": 0}}, "its temperature is 0"),
        ("Report", {"sampling": {"source": "sngan"}}, "the report is of the energy model"),
        (
            "ComposeModels",
            {"sampling": {"sampler": "mala"}, "compose": {"members": [{}, {}]}},
            "compositions are drawn by plain langevin chains; received sampling.sampler=mala",
        ),
        (
            "ComposeModels",
            {"model": {"conditional": True}, "compose": {"members": [{"label": 1}, {"label": 10}]}},
            "member 2 of compose.members has label 10",
        ),
    ],
)
def test_what_cannot_work_is_known_before_anything_runs(
    task: str, settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        execute(Request(task, Experiment(**settings), tmp_path / "root"))
    assert not (tmp_path / "root").exists()


def test_a_folder_that_has_lost_its_images_troubles_only_who_asks_for_them(tmp_path: Path) -> None:
    """Results made before stay what they are; other tasks of the experiment are listed and linked as ever."""
    (tmp_path / "notes.txt").write_text("no image")
    experiment = Experiment(dataset={"name": "folder", "path": str(tmp_path)})
    assert (
        len(all_tasks(experiment, Path("/r"))) == len(TASKS) - 3 - len(ON_REQUEST) + 2
    )  # and two of the baseline for CompareModels
    with pytest.raises(MissingInput, match=r"none of the files in .* is an image"):
        check(TrainEBM.of(experiment, Path("/r")))


def test_a_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def counted(dataset: Dataset) -> int:
        looks.append(dataset)
        return 2

    monkeypatch.setattr(knowledge, "classes_of", counted)
    monkeypatch.setattr(knowledge, "image_shape_of", lambda dataset: (8, 8, 1))
    experiment = Experiment(dataset={"name": "folder", "path": str(tmp_path)})
    check(Report.of(experiment, Path("/r")))
    assert len(looks) == 1
