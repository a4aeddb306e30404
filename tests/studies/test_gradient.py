"""Section C's equations where all of them have a closed form."""

import numpy as np
import pytest

from ebm_tf.studies.gradient import DATA, NOISE, STEP_SIZE, gaussian_gradients, kl


def test_the_values_of_the_specification():
    assert gaussian_gradients(1.0) == pytest.approx((0.2372, 0.1650, -0.0722), abs=5e-5)


@pytest.mark.parametrize("theta", [0.3, 1.0, 2.5])
def test_the_whole_is_the_difference_of_both_and_not_their_sum(theta):
    whole, contrastive, of_chain = gaussian_gradients(theta)
    assert whole == pytest.approx(contrastive - of_chain, abs=1e-8)
    assert abs(whole - (contrastive + of_chain)) > 1e-2


def test_equation_6_is_the_mean_of_what_chains_end_in():
    """dE/dtheta = x^2 / 2, over data, and over ends of one Langevin step from them."""
    random, theta = np.random.default_rng(0), 1.0
    data = random.normal(0, DATA**0.5, 2_000_000)
    ends = data - STEP_SIZE * theta * data + random.normal(0, NOISE**0.5, data.size)
    assert gaussian_gradients(theta).contrastive == pytest.approx(np.mean(data**2 - ends**2) / 2, abs=2e-3)


def test_kl_against_an_integral():
    x = np.linspace(-40, 40, 400_001)

    def density(variance):
        return np.maximum(1e-300, np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance))

    first, second = density(2.0), density(3.0)
    integral = np.sum(first * np.log(first / second)) * (x[1] - x[0])
    assert kl(2.0, 3.0) == pytest.approx(integral, abs=1e-6)
    assert kl(2.0, 2.0) == 0
