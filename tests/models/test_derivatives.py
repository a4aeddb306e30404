"""First and second derivatives of every kind of layer: chains need the one, the KL term the other."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.models.architectures import (
    Attention,
    Conv,
    Dense,
    Energy,
    Flatten,
    GlobalMean,
    LayerOptions,
    Pool,
    Residual,
    ResidualDown,
)
from ebm_tf.models.energy import EnergyModel
from tests.models.derivatives import check_all, shaken

RESIDUAL = (Conv(4), Residual(), GlobalMean(), Energy())
DOWN = (Conv(4), ResidualDown(6), GlobalMean(), Energy())
HEAD = (Conv(4), Pool(), Flatten(), Dense(5), Energy())
ALL = (Conv(4), Residual(), ResidualDown(6), Attention(), GlobalMean(), Energy())

CASES = {
    "residual": (RESIDUAL, {}),
    "residual without skip": (RESIDUAL, {"skip": False}),
    "group norm": (RESIDUAL, {"norm": "group", "groups": 2}),
    "instance norm": (RESIDUAL, {"norm": "instance"}),
    "down": (DOWN, {}),
    "down after a blur": (DOWN, {"downsample": "blur"}),
    "dense head": (HEAD, {}),
    "dense head, spectral": (HEAD, {"spectral_norm": True}),
    "weight standardisation": (DOWN, {"weight_standardisation": True}),
    "spectral normalisation": (DOWN, {"spectral_norm": True}),
    "attention": ((Conv(16), Attention(), GlobalMean(), Energy()), {}),
    "label with group norm": (RESIDUAL, {"norm": "group", "groups": 2, "classes": 3}),
    "label without norm": (RESIDUAL, {"classes": 3}),
    "everything": (
        ALL,
        {
            "norm": "group",
            "groups": 2,
            "downsample": "blur",
            "weight_standardisation": True,
            "spectral_norm": True,
            "classes": 3,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_finite_differences(case):
    blocks, options = CASES[case]
    model = shaken(EnergyModel(blocks, (4, 5, 2), LayerOptions(**options), seed=1, dtype="float64"))
    images = tf.constant(np.random.default_rng(0).random((3, 4, 5, 2)))
    labels = tf.constant([0, 2, -1]) if "classes" in options else None
    check_all(model, images, labels)


def test_derivatives_of_a_sum_of_scales():
    blocks = (Conv(3), ResidualDown(4), GlobalMean(), Energy())
    coarser = (Conv(3), Residual(), GlobalMean(), Energy())
    model = EnergyModel(blocks, (4, 6, 1), dtype="float64", coarser=(coarser,))
    check_all(shaken(model), tf.constant(np.random.default_rng(0).random((2, 4, 6, 1))))
