"""Samples of a trained model, and how near they are to what it was trained with; composed models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ebm_tf import demands
from ebm_tf.config import Augmentation, Langevin, Sampling
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from pipelines.knowledge import images_of, labels_known
from pipelines.stage_task import ACCELERATOR, Inputs, StageTask
from pipelines.tasks.data import PrepareDataset
from pipelines.tasks.features import TrainFeatureExtractor, features_of
from pipelines.tasks.training import TrainEBM, TrainSNGAN

OF_THE_FILM = ("film_chains", "film_frames")
"""Settings of sampling that only GenerateSamples' film strip depends on."""


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

    VERSION = 3
    SETTINGS = ("neighbours",)
    UPSTREAM = (PrepareDataset, GenerateSamples)

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Images and samples; where they are compared by features, also these."""
        inputs = super().inputs_of(experiment)
        if experiment["neighbours"]["space"] == "features":
            inputs.update(features_of(experiment))
        return inputs


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
