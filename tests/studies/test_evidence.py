"""What is told of a training, and of a case over its seeds."""

import dataclasses
import json
import math

import numpy as np
import pytest

from ebm_tf.studies.evidence import summarise
from tests.studies.made_up import STEPS, over, training


def test_the_gap_is_of_the_second_half_in_spreads():
    found = training()
    history = dict(found.history)
    late = history["step"] > STEPS / 2
    # 3 and 4 spreads of 0.5 in turn, behind a first half that is far off
    gaps = np.where(late, np.where(history["step"] % 20 == 0, 1.5, -2.0), 1e6)
    shifted = dataclasses.replace(found, history={**history, "energy_real": history["energy_sample"] + gaps})
    threes, fours = (history["step"][late] % 20 == 0).sum(), (history["step"][late] % 20 != 0).sum()
    assert shifted.gap == pytest.approx(math.sqrt((9 * threes + 16 * fours) / (threes + fours)))
    assert np.array_equal(shifted.energy_difference, gaps)


def test_a_training_that_broke_early_has_no_gap_but_all_that_it_came_to():
    found = training(diverged_at=50, score=3.0)
    assert (found.gap, found.last_inception_score, found.milliseconds_per_step) == (
        None,
        3.0,
        pytest.approx(20),
    )
    assert training(diverged_at=60).gap == pytest.approx(0.1)


def test_time_is_the_median_so_that_a_pause_does_not_count():
    found = training(milliseconds=20)
    rates = found.speed["steps_per_second"].copy()
    rates[3] = 0.01
    assert dataclasses.replace(
        found, speed={"steps_per_second": rates}
    ).milliseconds_per_step == pytest.approx(20)
    assert dataclasses.replace(found, speed={}).milliseconds_per_step is None


def test_a_score_that_is_no_number_is_none():
    assert training(score=math.nan).last_inception_score is None
    assert dataclasses.replace(training(), evaluated={}).last_inception_score is None
    assert training(judged={"recall": math.nan}).of_samples("recall", "fresh") is None


def test_a_case_has_means_and_t_intervals_of_the_seeds_that_have_the_number():
    found = over(gap=[1.0, 2.0, 3.0])["numbers"]["energy_gap"]
    assert found["mean"] == pytest.approx(2)
    assert found["interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], abs=1e-4)
    assert found["by_seed"] == pytest.approx({"0": 1, "1": 2, "2": 3})
    found = over(gap=[1.0, 2.0, 3.0], diverged_at=[None, 40, 40])
    assert found["numbers"]["energy_gap"] == {"mean": 1.0, "interval": None, "by_seed": {"0": 1.0}}
    assert {seed: event["step"] for seed, event in found["diverged"].items()} == {"1": 40, "2": 40}
    assert found["steps"] == {"0": 100, "1": 40, "2": 40}


def test_a_case_of_which_nothing_was_drawn_has_no_mean():
    found = over(drawn=False)["numbers"]["recall_buffer"]
    assert found == {"mean": None, "interval": None, "by_seed": {}}


def test_a_case_is_json():
    found = summarise([training(0), training(1, diverged_at=30)], 0.9)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
