"""The gradient of contrastive divergence where all of it has a closed form (S section C): a Gaussian energy.

E(x) = theta x^2 / 2, so that p = N(0, 1 / theta); the data are N(0, 2); q is what one Langevin step with lambda = 0.1
and noise of variance 0.05 makes of them, N(0, s) with s(theta) = 2 (1 - lambda theta)^2 + 0.05.
"""

from __future__ import annotations

import math
from typing import NamedTuple

DATA, STEP_SIZE, NOISE = 2.0, 0.1, 0.05
"""Variance of the data, lambda, variance of the noise."""
NUDGE = 1e-5
"""Of theta, for the difference quotient, whose error is of the order of its square."""


class Gradients(NamedTuple):
    """d/dtheta of KL(data | p) - KL(q | p), by differences; what equation 6, and what equation 10, give."""

    whole: float
    contrastive: float
    kl: float


def gaussian_gradients(theta: float = 1.0) -> Gradients:
    """All three at a theta > 0."""

    def divergence(theta: float) -> float:
        return kl(DATA, 1 / theta) - kl(_chain(theta), 1 / theta)

    whole = (divergence(theta + NUDGE) - divergence(theta - NUDGE)) / (2 * NUDGE)
    chain = _chain(theta)
    of_chain = -2 * DATA * STEP_SIZE * (1 - STEP_SIZE * theta)
    return Gradients(whole, (DATA - chain) / 2, of_chain * (theta - 1 / chain) / 2)


def kl(first: float, second: float) -> float:
    """KL(N(0, first) | N(0, second)), of variances, in nats."""
    return (first / second - 1 - math.log(first / second)) / 2


def _chain(theta: float) -> float:
    """The variance of q."""
    return DATA * (1 - STEP_SIZE * theta) ** 2 + NOISE
