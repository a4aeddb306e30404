"""The paper's studies, and the report that holds all of them against the paper."""

from __future__ import annotations

from typing import Any

from ebm_tf.errors import ConfigError
from ebm_tf.studies import design
from pipelines.stage_task import Inputs, StageTask
from pipelines.tasks.data import PrepareDataset
from pipelines.tasks.features import BaselineStatistics, FeatureTask, ReferenceStatistics
from pipelines.tasks.judging import CompareModels, EvaluateFID, EvaluateOOD
from pipelines.tasks.samples import ComposeModels, GenerateSamples, RetrieveNeighbours, SamplingTask
from pipelines.tasks.training import TrainEBM

OF_JUDGING = tuple(
    f"evaluation.{key}"
    for key in ("seed", "inception_score_splits", "manifold_neighbours", "manifold_images")
)
"""Settings that samples are judged by where nothing is resampled."""


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

    VERSION = 2
    SETTINGS = ("studies", "langevin", *OF_JUDGING, "evaluation.confidence")
    UPSTREAM = (PrepareDataset, ReferenceStatistics)
    ON_REQUEST = True

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Real images, every training, and what it came to."""
        inputs = super().inputs_of(experiment)
        for case, seed in design.trainings(cls.name(), experiment):
            other, name = design.as_trained(experiment, case, seed), design.called(case.title, seed)
            named = design.inputs_of(name)
            inputs[named.training] = (TrainEBM, other, name)
            inputs[named.judged] = (JudgeTraining, other, name)
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
