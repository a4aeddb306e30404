"""Pixels as features: the flattened image in [0, 1], and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from ebm_tf.evaluation.extractors.pixels import Pixels


def test_features_are_the_flattened_image_in_0_to_1():
    image = np.array([[[[0, 51], [102, 153]], [[204, 255], [1, 2]], [[3, 4], [5, 6]]]], np.uint8)
    features, logits = Pixels((3, 2, 2))(image)
    assert logits is None
    assert features.dtype == np.float32
    expected = [0, 0.2, 0.4, 0.6, 0.8, 1, 1 / 255, 2 / 255, 3 / 255, 4 / 255, 5 / 255, 6 / 255]
    np.testing.assert_allclose(features, [expected], rtol=1e-7)


def test_every_grey_level_is_its_float_nearest_to_a_255th():
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    expected = (np.arange(256, dtype=np.float64) / 255).astype(np.float32).reshape(4, 64)
    np.testing.assert_array_equal(Pixels((8, 8, 1))(levels).features, expected)


def test_the_identity_is_the_definition():
    identity = Pixels((8, 4, 3)).identity
    assert identity.input == "uint8 8x4x3 / 255, flattened by height, width, channel"
    assert identity.sha256 == hashlib.sha256(identity.input.encode()).hexdigest()
    assert (identity.name, identity.features, identity.classes) == ("pixels", 96, None)
    assert identity.sha256 != Pixels((4, 8, 3)).identity.sha256


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 8, 9, 1), (8, 8, 1), (0, 8, 8, 1)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"n >= 1, 8x8x1 each\. Received: shape .*, dtype uint8"):
        Pixels((8, 8, 1))(np.zeros(shape, np.uint8))


def test_floats_are_refused():
    with pytest.raises(ValueError, match=r"Received: shape \(1, 8, 8, 1\), dtype float64"):
        Pixels((8, 8, 1))(np.zeros((1, 8, 8, 1)))


def test_neither_pixels_nor_the_list_of_sources_imports_tensorflow():
    program = (
        "import sys, ebm_tf.evaluation.extractors.pixels, ebm_tf.evaluation.extractors.sources as s;"
        "s.demand_source('pixels', None); s.open_extractor('pixels', None, (8, 8, 1));"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
