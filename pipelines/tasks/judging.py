"""How good samples are, and what the energy tells apart."""

from __future__ import annotations

from typing import Any

from ebm_tf import demands
from pipelines.knowledge import as_the_own, images_of
from pipelines.stage_task import ACCELERATOR, Inputs, StageTask
from pipelines.tasks.data import PrepareDataset
from pipelines.tasks.features import BaselineStatistics, FeatureTask, ReferenceStatistics
from pipelines.tasks.samples import DrawSamples, GenerateSamples, ShardTask, a_task_for_each_shard
from pipelines.tasks.training import TrainEBM, TrainSNGAN


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
