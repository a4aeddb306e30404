"""The trainings: the energy model, and the baseline that it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebm_tf.baselines.plan import plan
from ebm_tf.config import Compute, Model
from ebm_tf.initial import demand_same_network, initial_model
from ebm_tf.models.summary import summarise
from ebm_tf.workers.cluster import demand_chief
from pipelines.knowledge import images_of
from pipelines.stage_task import ACCELERATOR, Inputs, StageTask
from pipelines.tasks.data import PrepareDataset
from pipelines.tasks.features import features_of


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
