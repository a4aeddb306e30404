"""The reference FID network, run as it is published: features `pool_3:0`, logits without their bias.

uint8 images are fed as float32 0..255 into `ExpandDims:0`, where the published graph has its decoded JPEG. All
that follows is the graph's own: the resize of TensorFlow 1 to 299x299 (corners not aligned, pixels not centred), the
scaling (x - 128) / 128, the network. So nothing is prepared twice, or otherwise than for the published numbers.

The graph is of 2015 and uses operations that functions of TensorFlow 2 no longer run
(BatchNormWithGlobalNormalization); a session does, for a graph that says how old it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.extractors.images import COLOUR, in_colour
from ebm_tf.evaluation.extractors.inception_graph import GRAPH, HOW_TO_GET, find_graph, read_graph

v1 = tf.compat.v1

SIZE, FEATURES, CLASSES = 299, 2048, 1008
IMAGES, RESIZE, POOL, LOGITS = "ExpandDims", "ResizeBilinear", "pool_3", "softmax/logits/MatMul"


class Inception(FeatureExtractor):
    """2048 features and 1008 logits of grey or colour images of any size.

    Args:
        path: of the .pb or of its archive; None for the one that the environment variable EBM_INCEPTION names.

    Raises:
        MissingInput: there is no such file, or it is not that network.
    """

    def __init__(self, path: Optional[Path] = None) -> None:
        self._file = find_graph(path)
        read = read_graph(self._file)
        self._session, self._images, self._pool, self._weights = _open_network(read.graph, self._file)
        self.identity = Identity(
            name="inception",
            version="2015-12-05",
            sha256=read.sha256,
            input="uint8 RGB (grey repeated), 0..255; the graph resizes to 299x299 as TensorFlow 1, (x - 128) / 128",
            features=FEATURES,
            classes=CLASSES,
        )
        self.notes = (read.note,)

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        pixels = in_colour(images).astype(np.float32)
        pooled = self._session.run(self._pool, {self._images: pixels})
        if pooled.shape != (len(images), 1, 1, FEATURES):
            raise EBMError(
                f"{POOL}:0 of {self._file} must be of shape {(len(images), 1, 1, FEATURES)}; received {pooled.shape}"
            )
        features = pooled.reshape(len(images), FEATURES)
        return Extracted(features, features @ self._weights)

    def save(self, folder: Path) -> dict[str, Any]:
        read = read_graph(self._file)
        if read.sha256 != self.identity.sha256:
            raise MissingInput(
                f"{self._file} has changed since it was opened: its graph has sha256 {read.sha256}, "
                f"had {self.identity.sha256}"
            )
        (folder / GRAPH).write_bytes(read.graph)
        return {"path": GRAPH}


def _open_network(
    serialised: bytes, file: Path
) -> tuple[tf.compat.v1.Session, tf.Tensor, tf.Tensor, npt.NDArray[np.float32]]:
    """A session, its tensors of images [n, H, W, 3] and features [n, 1, 1, 2048], the weights [2048, 1008]."""
    definition = _checked_definition(serialised, file)
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, [None, None, None, COLOUR], "images")
        try:
            pool, logits = tf.graph_util.import_graph_def(
                definition, {f"{IMAGES}:0": images}, [f"{POOL}:0", LOGITS], name="inception"
            )
            session = v1.Session(graph=graph, config=_session_threads())
            weights = session.run(logits.inputs[1])
        except (ValueError, IndexError, tf.errors.OpError) as error:
            first = str(error).splitlines()[0]
            raise MissingInput(f"{file} cannot be loaded by TensorFlow: {first}; {HOW_TO_GET}") from error
    if not pool.shape[1:].is_compatible_with([1, 1, FEATURES]) or weights.shape != (FEATURES, CLASSES):
        raise MissingInput(
            f"{file} is not the inception network: {POOL}:0 must be of shape [n, 1, 1, {FEATURES}] and the weights "
            f"of {LOGITS} [{FEATURES}, {CLASSES}]; received {pool.shape} and {list(weights.shape)}; {HOW_TO_GET}"
        )
    return session, images, pool, weights


def _checked_definition(serialised: bytes, file: Path) -> tf.compat.v1.GraphDef:
    """The graph, if images fed to ExpandDims:0 go through its own resize of TensorFlow 1 to 299x299."""
    try:
        definition = v1.GraphDef.FromString(serialised)
    except DecodeError as error:
        raise MissingInput(f"{file} is no TensorFlow graph, or only a part of one; {HOW_TO_GET}") from error
    nodes = {node.name: node for node in definition.node}
    if absent := [name for name in (IMAGES, RESIZE, POOL, LOGITS) if name not in nodes]:
        raise MissingInput(
            f"{file} is not the inception network: it has no {', '.join(absent)}; {HOW_TO_GET}"
        )
    resize = nodes[RESIZE]
    size = nodes[resize.input[1]].attr["value"].tensor if len(resize.input) == 2 else None
    if (
        resize.op != "ResizeBilinear"
        or resize.input[0] not in (IMAGES, f"{IMAGES}:0")
        or resize.attr["align_corners"].b
        or resize.attr["half_pixel_centers"].b
        or tf.make_ndarray(size).tolist() != [SIZE, SIZE]
    ):
        raise MissingInput(
            f"{file} is not the inception network: its {RESIZE} must take {IMAGES} to {SIZE}x{SIZE} as in "
            f"TensorFlow 1; {HOW_TO_GET}"
        )
    return definition


def _session_threads() -> tf.compat.v1.ConfigProto:
    """As many threads as the rest of the process has, and no more memory of a GPU than is needed."""
    config = v1.ConfigProto(
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
    )
    config.gpu_options.allow_growth = True
    return config
