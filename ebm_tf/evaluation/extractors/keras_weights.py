"""Where the weights of keras-inception are looked for, before anything is sampled. No TensorFlow here."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ebm_tf.datasets.fetching import unreachable
from ebm_tf.errors import MissingInput

HOST = "https://storage.googleapis.com"
FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
HOW_TO_GET = (
    f"give the path of {FILE} ({HOST}/tensorflow/keras-applications/inception_v3/{FILE}, about 92 MiB) as "
    "extractor.path, or put it into ~/.keras/models"
)


def demand_weights(path: Optional[Path]) -> None:
    """Refuse a path where there is no file; without a path, an empty cache of Keras that nothing can be loaded into.

    Raises:
        MissingInput: says how to get the weights.
    """
    if path is not None:
        if not path.is_file():
            raise MissingInput(f"no weights of keras-inception: no file {path}; {HOW_TO_GET}")
    elif not (Path.home() / ".keras" / "models" / FILE).is_file() and unreachable([HOST]):
        raise MissingInput(
            f"the weights of keras-inception are not in ~/.keras/models, and {HOST} cannot be reached; {HOW_TO_GET}"
        )
