"""What the convolution limit is made of: the convolutions of a graph, counted by hand."""

from __future__ import annotations

from collections import Counter

import pytest
import tensorflow as tf

from benchmarks.limit import BACKWARD, FORWARD, Convolution, convolutions
from benchmarks.operations import milliseconds_by_kind
from benchmarks.subjects import Size, model_of
from ebm_tf.config import Model
from ebm_tf.models.energy import build_energy_model
from ebm_tf.models.summary import summarise


def test_multiply_adds_are_those_of_every_output_of_every_image() -> None:
    convolution = Convolution(FORWARD, (5, 8, 6, 3), (3, 3, 3, 4), "float32")
    assert convolution.multiply_adds == 5 * 8 * 6 * 4 * 9 * 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_convolutions_of_a_chain_step_are_found(precision: str) -> None:
    settings = Model(architecture="mnist", width=0.25, norm="instance", precision=precision)
    shape, batch = (28, 28, 1), 3
    found = list(convolutions(build_energy_model(settings, shape, seed=0), batch))
    assert {each.dtype for each in found} == {precision}
    kinds = Counter(each.kind for each in found)
    assert kinds[FORWARD] == kinds[BACKWARD] == 1 + 3 * 3  # the first, and three of each residual down block
    counted = summarise(settings, shape)
    linear = counted.layers[-1].multiply_adds
    assert sum(each.multiply_adds for each in found) == 2 * batch * (counted.multiply_adds - linear)


@pytest.mark.parametrize(("filters", "norm"), [(16, "instance"), (32, "instance"), (64, "group")])
def test_the_norm_is_that_of_the_yardstick_where_one_kind_can_be(filters: int, norm: str) -> None:
    assert model_of(Size(filters=filters)).norm == norm


def test_the_profiler_sees_an_operation_by_its_kind() -> None:
    product = tf.function(lambda x: tf.linalg.matmul(x, x))
    matrix = tf.ones([200, 200])
    product(matrix)
    found = milliseconds_by_kind(lambda: product(matrix).numpy())
    assert any("MatMul" in kind for kind in found)
    assert list(found.values()) == sorted(found.values(), reverse=True)
