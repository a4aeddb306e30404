"""Better, worse, and what cannot be told."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm_tf.evaluation.verdicts import LARGER, SMALLER, apart, best, level, title_of, unlike


@pytest.mark.parametrize("metric", SMALLER)
def test_of_distances_the_smallest_is_best(metric: str) -> None:
    assert best(metric, {"a": 2.0, "b": -1.0, "c": 3.0}) == "b"


@pytest.mark.parametrize("metric", LARGER)
def test_of_shares_and_scores_the_largest_is_best(metric: str) -> None:
    assert best(metric, {"a": 2.0, "b": -1.0, "c": 3.0}) == "c"


ALIKE = (0.95, 0.95)


def test_what_several_share_or_what_has_no_better_is_nobodys() -> None:
    assert best("kid", {"a": 1.0, "b": 1.0, "c": 2.0}) is None
    assert best("class_entropy", {"a": 1.0, "b": 2.0}) is None


def test_intervals_lie_apart_or_touch() -> None:
    assert apart((0, 1), (2, 3), ALIKE) is True
    assert apart((0, 2), (2, 3), ALIKE) is False, "2 is possible for both"
    assert apart((0, 9), (2, 3), ALIKE) is False
    assert apart(None, (2, 3), ALIKE) is None


@pytest.mark.parametrize(
    ("confidences", "words"),
    [
        ((0.95, 0.99), "their intervals are of different confidence (95% and 99%)"),
        ((None, 0.99), "the confidence of their intervals is not told"),
        ((0.95, None), "the confidence of their intervals is not told"),
        ((None, None), "the confidence of their intervals is not told"),
    ],
)
def test_intervals_of_unlike_confidence_tell_nothing(
    confidences: tuple[Optional[float], Optional[float]], words: str
) -> None:
    assert apart((0, 1), (2, 3), confidences) is None
    assert apart((0, 2), (2, 3), confidences) is None
    assert unlike(confidences) == words


def test_intervals_of_one_confidence_may_be_set_against_each_other() -> None:
    assert unlike(ALIKE) is None


def test_a_confidence_is_not_rounded_to_certainty() -> None:
    assert [level(share) for share in (0.5, 0.07, 0.95, 0.999)] == ["50%", "7%", "95%", "99.9%"]


ends = st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(sorted)


@given(ends, ends)
def test_intervals_are_apart_just_where_no_number_is_in_both(first: list[int], second: list[int]) -> None:
    common = set(range(first[0], first[1] + 1)) & set(range(second[0], second[1] + 1))
    assert apart(first, second, ALIKE) is (not common)
    assert apart(second, first, ALIKE) is (not common)


@pytest.mark.parametrize("wrong", [(2, 1), (1,), (float("nan"), 1)])
def test_what_is_no_interval_is_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"a low and a high end. Received: \["):
        apart((0, 1), wrong, ALIKE)


def test_names_are_told_in_words() -> None:
    assert title_of("kid") == "KID"
    assert title_of("inception_score") == "inception score"
