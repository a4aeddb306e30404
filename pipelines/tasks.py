"""The tasks: what each depends on, and nothing else. Luigi's assistants import them from here."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ebm_tf import demands
from ebm_tf.baselines.plan import plan
from ebm_tf.config import Augmentation, Compute, Experiment, Extractor, Langevin, Model, Sampling
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.extractors.sources import demand_source
from ebm_tf.initial import demand_same_network, initial_model
from ebm_tf.models.summary import summarise
from ebm_tf.studies import design
from ebm_tf.workers.cluster import demand_chief
from pipelines.knowledge import as_the_own, images_of, labels_known
from pipelines.stage_task import Inputs, StageTask

ACCELERATOR = {"accelerator": 1}
"""The Luigi resource that lets one task at a time train, sample or measure a shard."""
OF_JUDGING = tuple(
    f"evaluation.{key}"
    for key in ("seed", "inception_score_splits", "manifold_neighbours", "manifold_images")
)
"""Settings that samples are judged by where nothing is resampled."""
OF_THE_FILM = ("film_chains", "film_frames")
"""Settings of sampling that only GenerateSamples' film strip depends on."""


class PrepareDataset(StageTask):
    """Reads the data set and writes the uint8 images that every later task streams."""

    SETTINGS = ("dataset",)
    priority = 1  # so that what is missing is known before anything is trained

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """The user's folder, where one is named."""
        demands.folder_there(experiment["dataset"]["path"])


class TrainFeatureExtractor(StageTask):
    """Trains the classifier that tells classes apart and whose features distances may be measured in."""

    SETTINGS = tuple(
        f"extractor.{key}" for key in ("epochs", "batch_size", "learning_rate", "seed", "minimum_accuracy")
    )
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Images of two classes at least."""
        if images := images_of(experiment["dataset"]):
            demands.classes_to_tell_apart(experiment["dataset"]["name"], images.classes)


class ImportFeatureExtractor(StageTask):
    """Takes in a feature extractor that others trained, or that needs no training, with its identity."""

    SETTINGS = tuple(f"extractor.{key}" for key in ("name", "path", "sha256", "seed"))
    UPSTREAM = (PrepareDataset,)

    @classmethod
    def applies(cls, experiment: dict[str, Any]) -> bool:
        """Where no classifier is trained."""
        return bool(experiment["extractor"]["name"] != "classifier")

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Its files."""
        extractor = Extractor(**experiment["extractor"])
        if not cls.applies(experiment):
            raise ConfigError(
                "extractor.name is classifier, which TrainFeatureExtractor trains; run that, or name another"
            )
        demand_source(extractor.name, None if extractor.path is None else Path(extractor.path))


def extractor_of(experiment: dict[str, Any]) -> Inputs:
    """The task that has the features of an experiment, as the input "Extractor"."""
    imported = ImportFeatureExtractor.applies(experiment)
    return {"Extractor": (ImportFeatureExtractor if imported else TrainFeatureExtractor, experiment, "")}


def features_of(experiment: dict[str, Any]) -> Inputs:
    """The extractor, and the features of the real images."""
    return {
        **extractor_of(experiment),
        ReferenceStatistics.name(): (ReferenceStatistics, experiment, ""),
    }


class FeatureTask(StageTask):
    """A task that, beside its other inputs, reads the extractor of the experiment."""

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Those of the experiment, and its extractor."""
        return {**super().inputs_of(experiment), **extractor_of(experiment)}


class ReferenceStatistics(FeatureTask):
    """Measures the features of the real images."""

    UPSTREAM = (PrepareDataset,)


class BaselineStatistics(FeatureTask):
    """Measures the features of images that no model made: uniform noise, and a Gaussian fitted to the pixels."""

    SETTINGS = ("evaluation.seed", "evaluation.baseline_count")
    UPSTREAM = (PrepareDataset,)


class TrainEBM(StageTask):
    """Trains the energy-based model."""

    VERSION = 3
    SETTINGS = (
        "seed",
        "model",
        "langevin",
        "replay",
        "augmentation",
        "loss",
        "optimiser",
        "training",
        "health",
        "selection",
    )
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The images; with selection also what samples are judged by."""
        inputs, selection = super().inputs_of(experiment), experiment["selection"]
        if selection["every"]:
            judged = experiment
            if selection["extractor"] is not None:
                own = {"name": selection["extractor"], "path": None, "sha256": None}
                judged = {**experiment, "extractor": {**experiment["extractor"], **own}}
            inputs.update(features_of(judged))
        return inputs

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """A network for these images, which is that of weights to start from; of several workers, the chief."""
        demand_chief(Compute(**experiment["compute"]))
        if images := images_of(experiment["dataset"]):
            settings, start = Model(**experiment["model"]), experiment["training"]["initial_model"]
            summarise(settings, images.shape, images.classes)
            if start is not None:
                demand_same_network(initial_model(Path(start)), settings, images.shape, images.classes)


class TrainSNGAN(StageTask):
    """Trains the baseline, a GAN with spectral normalisation (S A.2)."""

    SETTINGS = ("seed", "sngan")
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Images of a size that there are networks for."""
        if images := images_of(experiment["dataset"]):
            plan(images.shape, experiment["sngan"]["width"])


class ShowAugmentations(StageTask):
    """Draws a contact sheet of what augmentation does to training images."""

    SETTINGS = ("seed", "augmentation")
    UPSTREAM = (PrepareDataset,)


class SamplingTask(StageTask):
    """A task that draws from a trained model: the energy model, or the baseline (sampling.source)."""

    UPSTREAM: ClassVar[tuple[type[StageTask], ...]] = (PrepareDataset,)
    resources = ACCELERATOR

    @classmethod
    def settings_of(cls, experiment: dict[str, Any]) -> tuple[str, ...]:
        """Those of the model that is sampled; how many tasks draw changes no sample, and is seen by the inputs."""
        apart = ("shard_size", *OF_THE_FILM)
        if experiment["sampling"]["source"] == "sngan":
            return (
                "seed",
                "sngan",
                *(f"sampling.{key}" for key in ("source", "seed", "count", "batch_size")),
            )
        augmented = ("augmentation",) if experiment["sampling"]["augment_every"] else ()
        sampling = (f"sampling.{key}" for key in Sampling.model_fields if key not in apart)
        return ("seed", "model", "langevin", *sampling, *augmented)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The images and the model that is sampled."""
        trained: type[StageTask] = TrainSNGAN if experiment["sampling"]["source"] == "sngan" else TrainEBM
        return {**super().inputs_of(experiment), trained.name(): (trained, experiment, "")}


class ShardTask(StageTask):
    """A task of one shard of the samples (sampling.shard_size).

    Its experiment has one entry more than the one that was asked for: "shard", the number of its first sample and how
    many there are.
    """

    @classmethod
    def settings_of(cls, experiment: dict[str, Any]) -> tuple[str, ...]:
        """Also which samples."""
        return (*super().settings_of(experiment), *(("shard",) if cls.applies(experiment) else ()))

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """As of any experiment: what is below does not know of shards."""
        return super().inputs_of({key: value for key, value in experiment.items() if key != "shard"})

    @classmethod
    def applies(cls, experiment: dict[str, Any]) -> bool:
        """Where it is told which shard it is of."""
        return "shard" in experiment

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """A shard."""
        if not cls.applies(experiment):
            raise ConfigError(
                "DrawSamples and MeasureShard are of one shard of the samples; run GenerateSamples or EvaluateFID, "
                "which have them for every shard, with a sampling.shard_size below sampling.count"
            )


class DrawSamples(ShardTask, SamplingTask):
    """Draws one shard of the samples (sampling.shard_size)."""


class GenerateSamples(SamplingTask):
    """Draws samples: Langevin chains of the energy model, or images of the baseline (sampling.source)."""

    @classmethod
    def settings_of(cls, experiment: dict[str, Any]) -> tuple[str, ...]:
        """Also those of the film strip, which the energy model alone has."""
        film = OF_THE_FILM if experiment["sampling"]["source"] == "ebm" else ()
        return (*super().settings_of(experiment), *(f"sampling.{key}" for key in film))

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The images and the model that is sampled; of samples in shards also these."""
        return {**super().inputs_of(experiment), **a_task_for_each_shard(DrawSamples, experiment)}

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Labels that the model knows, and a sampler that can do what is asked of it."""
        sampling, images = Sampling(**experiment["sampling"]), images_of(experiment["dataset"])
        if sampling.source == "sngan":
            return
        augmented = Augmentation(**experiment["augmentation"]).active
        demands.chains_can_be_drawn(sampling, Langevin(**experiment["langevin"]), augmented)
        if images:
            demands.wanted_labels(sampling.labels, labels_known(experiment, images))


def a_task_for_each_shard(task: type[ShardTask], experiment: dict[str, Any]) -> Inputs:
    """The shards of the samples as the inputs "shard 1", "shard 2" and so on; none where one task draws all."""
    sampling = experiment["sampling"]
    count, size = sampling["count"], sampling["shard_size"]
    if size is None or size >= count:
        return {}
    shards = [[first, min(size, count - first)] for first in range(0, count, size)]
    baseline = "sngan " if sampling["source"] == "sngan" else ""
    return {
        f"shard {number}": (
            task,
            {**experiment, "shard": shard},
            f"{baseline}shard {number} of {len(shards)}",
        )
        for number, shard in enumerate(shards, start=1)
    }


class RetrieveNeighbours(StageTask):
    """Finds the training images nearest to generated ones."""

    SETTINGS = ("neighbours",)
    UPSTREAM = (PrepareDataset, GenerateSamples)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Images and samples; where they are compared by features, also these."""
        inputs = super().inputs_of(experiment)
        if experiment["neighbours"]["space"] == "features":
            inputs.update(features_of(experiment))
        return inputs


class MeasureShard(ShardTask, FeatureTask):
    """Measures the features of one shard of the samples (sampling.shard_size)."""

    resources = ACCELERATOR

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The extractor, and the shard."""
        return {**super().inputs_of(experiment), DrawSamples.name(): (DrawSamples, experiment, "")}


class EvaluateFID(FeatureTask):
    """Measures the samples: Fréchet distance, KID, precision, recall and more, beside those of the baselines."""

    SETTINGS = ("evaluation",)
    UPSTREAM = (PrepareDataset, ReferenceStatistics, BaselineStatistics, GenerateSamples)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """What is judged and by what; of samples in shards also the features of each."""
        return {**super().inputs_of(experiment), **a_task_for_each_shard(MeasureShard, experiment)}


class CompareModels(StageTask):
    """Sets the energy model and the SNGAN baseline side by side, judged alike (S A.2)."""

    UPSTREAM = (PrepareDataset, TrainEBM, TrainSNGAN)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Samples and their evaluation, of both."""
        inputs = super().inputs_of(experiment)
        for source in ("ebm", "sngan"):
            other = {**experiment, "sampling": {**experiment["sampling"], "source": source}}
            variant = source if other != experiment else ""
            inputs[f"{source} samples"] = (GenerateSamples, other, variant)
            inputs[source] = (EvaluateFID, other, variant)
        return inputs


class EvaluateOOD(StageTask):
    """Tells images of other kinds from the data set's own by their energy."""

    SETTINGS = ("model", "ood")
    UPSTREAM = (PrepareDataset, TrainEBM)
    resources = ACCELERATOR

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The model and the other data sets; where these say nothing of size and colour, as the experiment's own."""
        inputs, others = super().inputs_of(experiment), experiment["ood"]["datasets"]
        own = images_of(experiment["dataset"]) if others else None
        names: list[str] = []
        for number, dataset in enumerate(others, start=1):
            names.append(dataset["name"])
            again = names.count(dataset["name"])
            inputs[f"PrepareDataset {number}"] = (
                PrepareDataset,
                {**experiment, "dataset": as_the_own(dataset, own)},
                dataset["name"] if again == 1 else f"{dataset['name']} {again}",
            )
        return inputs

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Images of one shape."""
        own = images_of(experiment["dataset"])
        for name, (_, other, dataset) in cls.inputs_of(experiment).items():
            images = images_of(other["dataset"])
            if own and images and name.startswith("PrepareDataset "):
                demands.images_of_one_shape(dataset, images.shape, own.shape)


class ComposeModels(StageTask):
    """Draws samples of several energies put together by and, or, not."""

    SETTINGS = (
        "seed",
        "langevin",
        *(f"sampling.{key}" for key in ("seed", "steps", "step_size", "noise_scale", "batch_size")),
        "compose",
    )
    UPSTREAM = (PrepareDataset, TrainFeatureExtractor)
    resources = ACCELERATOR

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Two energies at least, of images of one shape, with labels that their models know; Langevin chains."""
        sampling = Sampling(**experiment["sampling"])
        if sampling.sampler != "langevin" or sampling.augment_every is not None:
            raise ConfigError(
                f"compositions are drawn by plain langevin chains; received sampling.sampler={sampling.sampler} and "
                f"sampling.augment_every={sampling.augment_every}, leave both out"
            )
        members = experiment["compose"]["members"]
        demands.members_to_compose(len(members), experiment["compose"]["operation"])
        own, inputs = images_of(experiment["dataset"]), cls.inputs_of(experiment)
        for number, member in enumerate(members, start=1):
            _, other, _ = inputs[f"member {number}"]
            images = images_of(other["dataset"])
            if own and images:
                classes = labels_known(other, images)
                demands.member_fits(number, member["label"], classes, images.shape, own.shape)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Each member's model and data; of another config, on this experiment's machine."""
        inputs = super().inputs_of(experiment)
        for number, member in enumerate(experiment["compose"]["members"], start=1):
            other, variant = experiment, ""
            if member["config"]:
                other = load_experiment(member["config"]).model_dump(mode="json")
                other, variant = {**other, "compute": experiment["compute"]}, Path(member["config"]).stem
            inputs[f"member {number}"] = (TrainEBM, other, variant)
            inputs[f"member {number} data"] = (PrepareDataset, other, variant)
        return inputs


class JudgeTraining(FeatureTask, SamplingTask):
    """Measures how good, and how different from each other, samples are; made for studies, where all is a result."""

    UPSTREAM = (PrepareDataset, ReferenceStatistics)
    ON_REQUEST = True

    @classmethod
    def settings_of(cls, experiment: dict[str, Any]) -> tuple[str, ...]:
        """Those of the samples, and of what is measured; nothing here is resampled."""
        return (*super().settings_of(experiment), *OF_JUDGING)

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """As GenerateSamples; and as many samples as recall has neighbours."""
        GenerateSamples.demand(experiment)
        count, needed = experiment["sampling"]["count"], experiment["evaluation"]["manifold_neighbours"] + 1
        if count < needed:
            raise ConfigError(
                f"sampling.count is {count}, and recall needs {needed} samples or more "
                "(evaluation.manifold_neighbours and one); give more, or fewer neighbours"
            )


class Study(StageTask):
    """Sets trainings beside each other that differ in what the study is about, with several seeds each."""

    SETTINGS = ("studies", "langevin", *OF_JUDGING, "evaluation.confidence")
    UPSTREAM = (PrepareDataset, ReferenceStatistics)
    ON_REQUEST = True

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Real images, every training, and what it came to."""
        inputs = super().inputs_of(experiment)
        for case, seed in design.trainings(cls.name(), experiment):
            other, name = design.as_trained(experiment, case, seed), design.called(case.title, seed)
            inputs[f"{name}: training"] = (TrainEBM, other, name)
            inputs[f"{name}: judged"] = (JudgeTraining, other, name)
        return inputs

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Cases that differ."""
        design.demand_possible(cls.name(), experiment)


class StudyNoiseInit(Study):
    """Trains with and without L_KL, with chains from noise and from the buffer (S D.1, figure 1)."""


class StudyTruncation(Study):
    """Trains with L_KL through the last step of the chain, the last m, and all (S D.2, figures 6 and 7)."""


class StudyCollapse(Study):
    """Trains with both terms of L_KL, either and neither, and tells how diverse samples are (S D.3, figure 8)."""


class ExportModel(StageTask):
    """Writes the model as a folder that needs none of this code, and checks it in such a process."""

    VERSION = 3
    SETTINGS = (
        *(f"sampling.{key}" for key in ("weights", "sampler", "temperature", "steps", "step_size")),
        *(f"sampling.{key}" for key in ("noise_scale", "batch_size")),
        "langevin",
        "model",
    )
    UPSTREAM = (TrainEBM, PrepareDataset)

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """A temperature where chains have one, and only there."""
        demands.temperature_fits(Sampling(**experiment["sampling"]), Langevin(**experiment["langevin"]))


class Report(FeatureTask):
    """Gathers pictures, curves, metrics and provenance of the main tasks on one HTML page."""

    UPSTREAM = (
        PrepareDataset,
        TrainEBM,
        ReferenceStatistics,
        BaselineStatistics,
        GenerateSamples,
        RetrieveNeighbours,
        EvaluateFID,
        ExportModel,
    )

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """The energy model's samples: the page is about it."""
        if experiment["sampling"]["source"] != "ebm":
            raise ConfigError(
                f"the report is of the energy model, and sampling.source is {experiment['sampling']['source']}; use "
                "EvaluateFID or CompareModels for it"
            )


class ReproducePaper(FeatureTask):
    """Holds every table, figure and claim of the paper's supplementary against this experiment, in one report."""

    SETTINGS = ("dataset", "model", "langevin", "augmentation")
    UPSTREAM = (
        ReferenceStatistics,
        BaselineStatistics,
        GenerateSamples,
        EvaluateFID,
        RetrieveNeighbours,
        CompareModels,
        EvaluateOOD,
        StudyNoiseInit,
        StudyTruncation,
        StudyCollapse,
    )
    ON_REQUEST = True

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """All that the claims are about, of the energy model; a composition where the experiment names one."""
        experiment = {**experiment, "sampling": {**experiment["sampling"], "source": "ebm"}}
        composed: Inputs = {}
        if experiment["compose"]["members"]:
            composed[ComposeModels.name()] = (ComposeModels, experiment, "")
        return {**CompareModels.inputs_of(experiment), **super().inputs_of(experiment), **composed}


TASKS: dict[str, type[StageTask]] = {
    task.name(): task
    for task in (
        PrepareDataset,
        ShowAugmentations,
        TrainFeatureExtractor,
        ImportFeatureExtractor,
        ReferenceStatistics,
        BaselineStatistics,
        TrainEBM,
        TrainSNGAN,
        DrawSamples,
        GenerateSamples,
        RetrieveNeighbours,
        MeasureShard,
        EvaluateFID,
        CompareModels,
        EvaluateOOD,
        ComposeModels,
        JudgeTraining,
        StudyNoiseInit,
        StudyTruncation,
        StudyCollapse,
        ExportModel,
        Report,
        ReproducePaper,
    )
}
"""Every task by name, each after those that it needs."""


def task_named(name: str) -> type[StageTask]:
    """The task class of a name.

    Raises:
        ConfigError: there is none; the text has the nearest name and the list.
    """
    if name in TASKS:
        return TASKS[name]
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in TASKS], n=1, cutoff=0.4)
    nearest = next((known for known in TASKS if [known.lower()] == close), None)
    hint = f"did you mean {nearest}? " if nearest else ""
    raise ConfigError(f"unknown task {name!r}; {hint}Tasks: {', '.join(TASKS)}")


def check(root_task: StageTask, forced: Collection[str] = ()) -> None:
    """Refuse an experiment of which some task that would run can make nothing.

    Args:
        forced: keys of tasks that run although their artifacts are there.

    Raises:
        ConfigError, MissingInput: the text says what and why.
    """
    for step in tree(root_task):
        if step.key in forced or step.artifact.rebuild_wanted or not step.artifact.exists():
            step.demand(json.loads(step.experiment))


def tree(root_task: StageTask) -> list[StageTask]:
    """The task and all that it stands on, each after those that it needs."""
    return _in_order([root_task])


def with_dependents(steps: Sequence[StageTask], names: Collection[str]) -> list[StageTask]:
    """Those of the steps that have one of the names, and those that stand on one of these, in the same order."""
    return [step for step in steps if any(below.name() in names for below in tree(step))]


def all_tasks(experiment: Experiment, root: Path) -> list[StageTask]:
    """Every task that the experiment has a use for, and all that they stand on, each after those that it needs.

    Those that run on request alone, with a hundred trainings below them, are there once they or an input are begun.
    """
    values = experiment.model_dump(mode="json")
    tasks = [kind.of(experiment, root) for kind in TASKS.values() if kind.applies(values)]
    usual = _in_order([task for task in tasks if not task.ON_REQUEST])
    known = {step.key for step in usual}
    return _in_order([*usual, *(task for task in tasks if task.ON_REQUEST and _begun(task, known))])


def _begun(root_task: StageTask, known: Collection[str]) -> bool:
    """Whether the task, or an input that is not known without it, is built or in work."""
    return any(
        step.artifact.exists() or step.artifact.work.exists()
        for step in (root_task, *root_task.requires())
        if step.key not in known
    )


def _in_order(pending: list[StageTask]) -> list[StageTask]:
    found: dict[str, StageTask] = {}
    while pending:
        task = pending.pop(0)
        if task.key not in found:
            found[task.key] = task
            pending += task.requires()
    order = list(TASKS)
    return sorted(found.values(), key=lambda task: order.index(task.name()))
