"""What every feature extractor is, and the identity that it stamps on every number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

ImageShape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Identity:
    """What tells the features of one extractor from those of all others.

    name: such as "inception". version: of the network or of the definition. sha256: of the weights; of the
    definition where there are none. input: what happens to the pixels before the network, in words. features: their
    number, d. classes: number of logits, None where there are none.
    """

    name: str
    version: str
    sha256: str
    input: str
    features: int
    classes: Optional[int] = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in a protocol."""
        return asdict(self)


class Extracted(NamedTuple):
    """Of n images: features float32 [n, d], and logits float32 [n, classes] where the extractor classifies."""

    features: npt.NDArray[np.float32]
    logits: Optional[npt.NDArray[np.float32]]


class FeatureExtractor(ABC):
    """Turns uint8 images [n, H, W, C] into features, the same whatever n is.

    Attributes:
        identity: stamped on every number that is measured in these features.
        image_shape: the only shape of images that is taken; None if any is (grey or colour).
        notes: what a reader of the numbers has to know, a sentence each; often empty.
    """

    identity: Identity
    image_shape: Optional[ImageShape] = None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        """Features of one batch of uint8 images [n, H, W, C], n >= 1."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write into a folder what cannot be made again, and return the arguments that open it again.

        They are those of `sources.open_extractor`: a `path` relative to the folder, a `seed`. Nothing is written and
        nothing returned where the definition is all there is.
        """
        return {}
