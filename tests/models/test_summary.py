"""Counting a network without building it: against Keras, and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.models.energy import build_energy_model
from ebm_tf.models.summary import summarise

CHOICES = {
    "group": {},
    "instance": {"norm": "instance"},
    "none": {"norm": "none"},
    "conditional": {"conditional": True},
    "conditional without norm": {"conditional": True, "norm": "none"},
    "spectral": {"spectral_norm": True, "weight_standardisation": True, "downsample": "blur", "skip": False},
    "last": {"drop": "last"},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_parameters_and_shapes_are_those_of_the_model(choice):
    settings = Model(architecture="table1", width=0.125, scales=3, **CHOICES[choice])
    counted = summarise(settings, (36, 44, 3), classes=5)
    model = build_energy_model(settings, (36, 44, 3), seed=0, classes=5)
    assert counted.parameters == sum(int(np.prod(w.shape)) for w in model.trainable_variables)
    networks = (model, model.coarser, model.coarser.coarser)
    for scale, network in zip(("full", "half", "quarter"), networks):
        x = tf.zeros([1, *network.image_shape])
        condition = tf.zeros([1, 5]) if settings.conditional else None
        shapes = []
        for block in network.blocks:
            x = block(x, condition) if "residual" in block.name else block(x)
            shapes.append(tuple(x.shape[1:]))
        assert [row.output for row in counted.layers if row.scale == scale] == shapes


def test_multiply_adds_of_mnist_by_hand():
    def conv(side, wide, out):
        return side * side * 9 * wide * out

    by_hand = (
        conv(28, 1, 64)
        + 2 * conv(28, 64, 64) + conv(28, 64, 128)
        + 2 * conv(14, 128, 128) + conv(14, 128, 256)
        + 2 * conv(7, 256, 256) + conv(7, 256, 512)
        + 512
    )  # fmt: skip
    assert summarise(Model(architecture="mnist"), (28, 28, 1)).multiply_adds == by_hand == 347_268_608


def test_multiply_adds_of_attention_by_hand():
    layers = summarise(Model(architecture="table1"), (32, 32, 3)).layers
    (row,) = [row for row in layers if "attention" in row.layer]
    positions = 8 * 8
    maps = positions * (128 * 16 + 128 * 16 + 128 * 128)
    products = positions * positions * 16 + positions * positions * 128
    assert row.multiply_adds == maps + products


def test_an_odd_size_is_halved_upwards():
    layers = summarise(Model(architecture="mnist"), (28, 28, 1)).layers
    assert [row.output[0] for row in layers[:4]] == [28, 14, 7, 4]


def test_the_operations_of_the_graph_add_up_to_the_same():
    settings = Model(architecture="table1", width=0.25, scales=2, norm="none")
    model = build_energy_model(settings, (32, 32, 3), seed=0)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec([1, 32, 32, 3])).graph
    products = [made for made in graph.get_operations() if made.type in ("Conv2D", "MatMul", "BatchMatMulV2")]
    assert summarise(settings, (32, 32, 3)).multiply_adds == sum(map(multiply_adds, products))


def multiply_adds(operation):
    """From the shapes of an operation's inputs and output."""
    first, second = (tensor.shape.as_list() for tensor in operation.inputs)
    outputs = int(np.prod(operation.outputs[0].shape.as_list()))
    if operation.type == "Conv2D":
        return outputs * int(np.prod(second[:3]))
    transposed = operation.get_attr("adj_x" if "Batch" in operation.type else "transpose_a")
    return outputs * (first[-2] if transposed else first[-1])
