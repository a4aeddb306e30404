"""A graph with the interface of `classify_image_graph_def.pb` and known arithmetic, and that arithmetic in NumPy.

Names, shapes, the batch of one in `pool_3/_reshape` and in `_output_shapes`, the version of 2015 and its
operation BatchNormWithGlobalNormalization are those of the published graph; between `Mul` and `pool_3` there is one
small layer.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

FEATURES, CLASSES, TILE = 2048, 1008, 37
VERSION_OF_2015 = 8
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(3, FEATURES)).astype(np.float32)
MEAN = RANDOM.normal(size=FEATURES).astype(np.float32)
VARIANCE = RANDOM.uniform(0.5, 2, FEATURES).astype(np.float32)
BETA = RANDOM.normal(size=FEATURES).astype(np.float32)
WEIGHTS = RANDOM.normal(size=(FEATURES, CLASSES)).astype(np.float32) / 45
BIASES = np.full(CLASSES, 100, np.float32)


def graph_definition(
    size: tuple[int, int] = (299, 299), pool: str = "pool_3", weights: np.ndarray = WEIGHTS
) -> tf.compat.v1.GraphDef:
    """The graph; arguments spoil it."""
    ops = tf.raw_ops
    with tf.Graph().as_default() as graph:
        jpeg = tf.constant(b"", name="DecodeJpeg/contents")
        decoded = ops.Cast(x=ops.DecodeJpeg(contents=jpeg, channels=3, name="DecodeJpeg"), DstT=tf.float32)
        one = ops.ExpandDims(input=decoded, axis=tf.constant(0, name="ExpandDims/dim"), name="ExpandDims")
        to = tf.constant(size, name="ResizeBilinear/size")
        resized = ops.ResizeBilinear(images=one, size=to, name="ResizeBilinear")
        centred = ops.Sub(x=resized, y=tf.constant(128.0, name="Sub/y"), name="Sub")
        scaled = ops.Mul(x=centred, y=tf.constant(1 / 128, name="Mul/y"), name="Mul")
        tile = [1, TILE, TILE, 1]
        tiles = ops.AvgPool(value=scaled, ksize=tile, strides=tile, padding="VALID", name="tiles")
        kernel = tf.constant(KERNEL[None, None], name="conv/conv2d_params")
        ops.Conv2D(input=tiles, filter=kernel, strides=[1] * 4, padding="SAME", name="conv/Conv2D")
        for name, value in (("mean", MEAN), ("variance", VARIANCE), ("beta", BETA)):
            tf.constant(value, name=f"conv/batchnorm/{name}")
        normalised = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, FEATURES], "conv/batchnorm")
        activated = ops.Relu(features=normalised, name="conv")
        whole = [1, 8, 8, 1]
        pooled = ops.AvgPool(value=activated, ksize=whole, strides=whole, padding="VALID", name=pool)
        flat = ops.Reshape(tensor=pooled, shape=[1, FEATURES], name="pool_3/_reshape")
        logits = ops.MatMul(
            a=ops.Reshape(tensor=flat, shape=[-1, len(weights)]),
            b=tf.constant(weights, name="softmax/weights"),
            name="softmax/logits/MatMul",
        )
        biases = tf.constant(BIASES[: weights.shape[1]], name="softmax/biases")
        ops.Softmax(logits=ops.BiasAdd(value=logits, bias=biases, name="softmax/logits"), name="softmax")
    return _as_of_2015(graph.as_graph_def())


def _as_of_2015(definition: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    definition.versions.producer = VERSION_OF_2015
    nodes = {node.name: node for node in definition.node}
    del nodes["ResizeBilinear"].attr["half_pixel_centers"]
    norm = nodes["conv/batchnorm"]
    norm.Clear()
    norm.name, norm.op = "conv/batchnorm", "BatchNormWithGlobalNormalization"
    # Without a scale after it, gamma is not used, but it has to be there.
    norm.input.extend(
        ["conv/Conv2D", *(f"conv/batchnorm/{name}" for name in ("mean", "variance", "beta", "variance"))]
    )
    norm.attr["T"].type = tf.float32.as_datatype_enum
    norm.attr["variance_epsilon"].f = 0.001
    norm.attr["scale_after_normalization"].b = False
    for name, shape in (
        ("ExpandDims", (1, -1, -1, 3)),
        ("Mul", (1, 299, 299, 3)),
        ("conv", (1, 8, 8, FEATURES)),
    ):
        dims = nodes[name].attr["_output_shapes"].list.shape.add().dim
        for size in shape:
            dims.add().size = size
    return definition


def expected_features(images: np.ndarray, half_pixel: bool = False) -> np.ndarray:
    """float64 [n, 2048] of uint8 colour images, by the definition of each layer."""
    scaled = (resized(images, 299, half_pixel) - 128) / 128
    side = 8 * TILE
    tiles = scaled[:, :side, :side].reshape(-1, 8, TILE, 8, TILE, 3).mean(axis=(2, 4))
    normalised = (tiles @ KERNEL.astype(np.float64) - MEAN) / np.sqrt(VARIANCE + np.float64(0.001)) + BETA
    return np.maximum(normalised, 0).mean(axis=(1, 2))


def resized(images: np.ndarray, size: int, half_pixel: bool = False) -> np.ndarray:
    """Bilinear as TensorFlow 1: output pixel i lies at i * old / new; with `half_pixel`, as everybody else."""
    for axis in (1, 2):
        old = images.shape[axis]
        shift = 0.5 if half_pixel else 0.0
        at = (np.arange(size) + shift) * old / size - shift
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        below = np.take(images, np.clip(low, 0, old - 1), axis).astype(np.float64)
        above = np.take(images, np.clip(low + 1, 0, old - 1), axis).astype(np.float64)
        images = below * (1 - share) + above * share
    return images
