"""Better, worse, and what cannot be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm_tf.evaluation.verdicts import LARGER, SMALLER, apart, best, title_of


@pytest.mark.parametrize("metric", SMALLER)
def test_of_distances_the_smallest_is_best(metric: str) -> None:
    assert best(metric, {"a": 2.0, "b": -1.0, "c": 3.0}) == "b"


@pytest.mark.parametrize("metric", LARGER)
def test_of_shares_and_scores_the_largest_is_best(metric: str) -> None:
    assert best(metric, {"a": 2.0, "b": -1.0, "c": 3.0}) == "c"


def test_what_several_share_or_what_has_no_better_is_nobodys() -> None:
    assert best("kid", {"a": 1.0, "b": 1.0, "c": 2.0}) is None
    assert best("class_entropy", {"a": 1.0, "b": 2.0}) is None


def test_intervals_lie_apart_or_touch() -> None:
    assert apart((0, 1), (2, 3)) is True
    assert apart((0, 2), (2, 3)) is False, "2 is possible for both"
    assert apart((0, 9), (2, 3)) is False
    assert apart(None, (2, 3)) is None


ends = st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(sorted)


@given(ends, ends)
def test_intervals_are_apart_just_where_no_number_is_in_both(first: list[int], second: list[int]) -> None:
    common = set(range(first[0], first[1] + 1)) & set(range(second[0], second[1] + 1))
    assert apart(first, second) is (not common)
    assert apart(second, first) is (not common)


@pytest.mark.parametrize("wrong", [(2, 1), (1,), (float("nan"), 1)])
def test_what_is_no_interval_is_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"a low and a high end. Received: \["):
        apart((0, 1), wrong)


def test_names_are_told_in_words() -> None:
    assert title_of("kid") == "KID"
    assert title_of("inception_score") == "inception score"
