"""The guard: each sign of divergence, patience, grace, its memory."""

import math

import pytest

from ebm_tf.config import Health
from ebm_tf.training.health import Guard

GOOD = {
    "energy_real": 0.1,
    "energy_sample": 0.12,
    "energy_real_spread": 0.2,
    "energy_sample_spread": 0.25,
    "gradient_norm": 1.0,
}


def guard(**settings):
    return Guard(Health(**{"grace_steps": 0, "patience": 1, **settings}))


@pytest.mark.parametrize(
    ("change", "words", "remedy"),
    [
        ({"energy_real": 60.0, "energy_sample": 60.0}, "mean energy of real images is 60", "larger loss.reg"),
        ({"energy_sample": 5.0}, "-4.9, 24.5 spreads of E(real)", "larger langevin.step_size"),
        ({"energy_real": 5.0}, "4.88, 24.4 spreads of E(real)", "smaller langevin.step_size"),
        ({"energy_sample_spread": 2.0}, "spread 10.0 times as wide", "smaller optimiser.learning_rate"),
        ({"gradient_norm": 100.0}, "gradient norm is 100, usually 1", "smaller optimiser.learning_rate"),
        ({"gradient_norm": 1e-7}, "the network is dead: the gradient norm is 1e-07", "longer optimiser.warm"),
        ({"loss": math.nan}, "loss is nan at step 300", "smaller optimiser.learning_rate"),
        ({"energy_real": math.inf}, "energy_real is inf", "larger loss.regularisation"),
    ],
)
def test_what_is_out_of_range_is_named_with_what_to_try(change, words, remedy):
    watch = guard()
    for step in range(300):
        assert watch.check(step, GOOD) is None
    problem = watch.check(300, {**GOOD, **change})
    assert words in problem.said and problem.said.endswith("at step 300")
    assert remedy in problem.remedy


def test_a_drift_of_both_energies_is_harmless():
    assert guard().check(500, {**GOOD, "energy_real": 20.0, "energy_sample": 20.1}) is None


def test_patience_counts_steps_in_a_row():
    watch, bad = guard(patience=3), {**GOOD, "energy_sample": 5.0}
    assert [watch.check(n, bad) for n in range(2)] == [None, None]
    assert watch.check(2, GOOD) is None
    assert [watch.check(n, bad) for n in (3, 4)] == [None, None]
    assert watch.check(5, bad) is not None


def test_not_a_number_is_not_waited_for_even_in_the_grace_period():
    watch = guard(grace_steps=100, patience=50)
    assert watch.check(1, {**GOOD, "energy_sample": 5.0}) is None
    assert "nan" in watch.check(2, {**GOOD, "gradient_norm": math.nan}).said


def test_a_restored_guard_judges_as_the_first_would():
    first, second = guard(patience=2), guard(patience=2)
    bad = {**GOOD, "gradient_norm": 100.0}
    for step in range(120):
        first.check(step, GOOD)
    first.check(120, bad)
    second.restore(first.state())
    assert first.check(121, bad) == second.check(121, bad) is not None
