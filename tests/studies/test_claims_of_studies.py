"""Verdicts follow the numbers: each claim is made to hold, to fail and to stay open by numbers alone."""

import pytest

from ebm_tf.studies.claims_of_studies import of_collapse, of_noise_init, of_truncation, outcomes
from ebm_tf.studies.rules import FAILS, HOLDS, OPEN
from tests.studies.made_up import FLAT, REAL, judged, over

LOW, HIGH, WIDE = [1.0, 1.1, 1.2], [5.0, 5.1, 5.2], [1.0, 5.0, 9.0]
NEITHER = {"L_opt alone": over(), "L_ent alone": over()}


def verdicts(rows):
    return [row.verdict for row in rows]


def noise_init(with_kl, without):
    replay = {"with L_KL": over(), "without L_KL": over()}
    noise = {"with L_KL, chains from noise": with_kl, "without L_KL, chains from noise": without}
    return of_noise_init({**noise, **replay}, REAL, 0.95)


@pytest.mark.parametrize(
    ("with_kl", "without", "expected"),
    [
        (LOW, HIGH, HOLDS),
        (HIGH, LOW, FAILS),
        (LOW, [1.1, 1.2, 1.0], OPEN),
        (WIDE, HIGH, OPEN),
    ],
)
def test_stability_by_the_energy_difference(with_kl, without, expected):
    assert verdicts(noise_init(over(gap=with_kl), over(gap=without)))[0] == expected


@pytest.mark.parametrize(
    ("with_kl", "without", "expected"), [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (LOW, WIDE, OPEN)]
)
def test_stability_by_the_inception_score(with_kl, without, expected):
    assert verdicts(noise_init(over(score=with_kl), over(score=without)))[1] == expected


def test_what_always_diverges_is_less_stable_than_what_never_does():
    broken = over(gap=LOW, diverged_at=60)
    assert verdicts(noise_init(over(gap=HIGH), broken)) == [HOLDS, HOLDS]
    assert verdicts(noise_init(broken, over(gap=HIGH))) == [FAILS, FAILS]
    (first, _) = noise_init(over(gap=HIGH), over(gap=LOW, diverged_at=[None, 30, 30]))
    assert first.verdict == OPEN, "two of three is not always, and one number is no group"
    assert "Diverged: 0 of 3 trainings with L_KL, 2 of 3 without L_KL" in first.why


def truncation(last, all_steps):
    cases = {"with L_KL": last, "with L_KL, last 2 steps": over(), "with L_KL, all steps": all_steps}
    return of_truncation(cases, REAL, 0.95)


@pytest.mark.parametrize(
    ("last", "all_steps", "expected"),
    [
        ([9.0, 9.1, 9.2], [10.0, 10.1, 10.2], HOLDS),
        ([10.2, 10.3, 10.4], [10.0, 10.1, 10.2], HOLDS),  # worse by 2%: little
        ([12.0, 12.1, 12.2], [10.0, 10.1, 10.2], FAILS),
        ([11.0, 11.1, 11.2], [10.0, 10.1, 10.2], OPEN),  # a tenth worse
        ([5.0, 10.0, 20.0], [10.0, 10.1, 10.2], OPEN),
    ],
)
def test_little_degradation(last, all_steps, expected):
    rows = truncation(
        over(judged=judged("frechet_distance", *last)), over(judged=judged("frechet_distance", *all_steps))
    )
    assert verdicts(rows)[0] == expected


@pytest.mark.parametrize(
    ("all_steps", "expected"),
    [([80.0, 82.0, 84.0], HOLDS), ([40.0, 41.0, 42.0], FAILS), ([50.0, 60.0, 70.0], OPEN)],
)
def test_three_times_slower(all_steps, expected):
    row = truncation(over(milliseconds=[20.0, 20.0, 20.0]), over(milliseconds=all_steps))[1]
    assert row.verdict == expected
    assert f"{sum(all_steps) / 60:.2f} [" in row.ours


def test_without_samples_nothing_is_decided():
    rows = truncation(over(drawn=False), over())
    assert rows[0].verdict == OPEN
    assert "fewer than two trainings of each have the number" in rows[0].why


def collapse(with_kl, without):
    return of_collapse({"with L_KL": with_kl, "without L_KL": without, **NEITHER}, REAL, 0.95)


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        (over(judged=FLAT), HOLDS),
        (over(), FAILS),
        (over(judged=[FLAT, FLAT, {}]), FAILS),  # one that does not refutes always
        (over(judged=FLAT, diverged_at=[None, 50, 50]), OPEN),
        (over(drawn=False), OPEN),
    ],
)
def test_without_it_always_collapses(without, expected):
    assert verdicts(collapse(over(), without))[0] == expected


@pytest.mark.parametrize(
    ("with_kl", "expected"),
    [
        (over(), HOLDS),
        (over(judged=[FLAT, {}, {}]), FAILS),
        (over(diverged_at=[None, None, 50]), OPEN),
    ],
)
def test_with_it_never_collapses(with_kl, expected):
    assert verdicts(collapse(with_kl, over()))[1] == expected


@pytest.mark.parametrize("measure", ["class_entropy", "pairwise_pixels", "pairwise_features"])
def test_any_of_the_measures_shows_a_collapse(measure):
    found = over(judged=judged(measure, 0.49 * REAL[measure], 0.51 * REAL[measure], REAL[measure]))
    assert outcomes(found, REAL) == {"0": "collapsed", "1": "diverse", "2": "diverse"}


def test_a_measure_that_real_images_have_not_is_left_out():
    assert outcomes(over(judged={"class_entropy": 0.0}), {**REAL, "class_entropy": None})["0"] == "diverse"


@pytest.mark.parametrize(
    ("with_kl", "without", "expected"),
    [
        ([0.90, 0.91, 0.92], [0.30, 0.31, 0.32], HOLDS),
        ([0.30, 0.31, 0.32], [0.90, 0.91, 0.92], FAILS),
        ([0.90, 0.91, 0.92], [0.89, 0.91, 0.93], OPEN),
    ],
)
def test_significantly_less_diverse(with_kl, without, expected):
    cases = (over(judged=judged("recall", *values)) for values in (with_kl, without))
    assert collapse(*cases)[2].verdict == expected


def test_measures_that_disagree_decide_nothing():
    """Less of one, more of the other."""
    spread = [{"recall": 0.9 + n / 100, "pairwise_pixels": 1 + n / 100} for n in range(3)]
    other = [{"recall": 0.3 + n / 100, "pairwise_pixels": 2 + n / 100} for n in range(3)]
    row = collapse(over(judged=spread), over(judged=other))[2]
    assert row.verdict == OPEN
    assert "recall: less" in row.why
    assert "distance in pixels: more" in row.why


def test_several_measures_are_asked_for_more_certainty():
    """A difference that one measure alone would call significant at 95%."""
    with_kl, without = [0.90, 0.94, 0.98], [0.76, 0.80, 0.84]
    cases = [over(judged=judged("recall", *values)) for values in (with_kl, without)]
    row = collapse(*cases)[2]
    assert row.verdict == OPEN
    assert "the 98.75% interval" in row.why
