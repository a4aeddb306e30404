"""The images, and what is drawn of them alone."""

from __future__ import annotations

from typing import Any

from ebm_tf import demands
from pipelines.stage_task import StageTask


class PrepareDataset(StageTask):
    """Reads the data set and writes the uint8 images that every later task streams."""

    SETTINGS = ("dataset",)
    priority = 1  # so that what is missing is known before anything is trained

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """The user's folder, where one is named."""
        demands.folder_there(experiment["dataset"]["path"])


class ShowAugmentations(StageTask):
    """Draws a contact sheet of what augmentation does to training images."""

    SETTINGS = ("seed", "augmentation")
    UPSTREAM = (PrepareDataset,)
