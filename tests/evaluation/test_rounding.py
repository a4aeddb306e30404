"""No number of a table is rounded to nothing."""

import pytest

from ebm_tf.evaluation.rounding import rounded, with_spread


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.8471, "2.85"), (-0.5149, "-0.51"), (0.1, "0.10"), (0.0023449, "0.00234"), (-0.00004, "-4e-05"), (0.0, "0.00"),
     (210.777, "210.78"), (None, "-")],
)  # fmt: skip
def test_small_numbers_keep_their_digits(value, text):
    assert rounded(value) == text


def test_more_decimals_where_asked_for():
    assert rounded(2.29812, 3) == "2.298"
    assert rounded(0.00512, 3) == "0.00512"


def test_a_spread_of_nothing_is_not_shown():
    assert with_spread(1.5, 0.25) == "1.50 +- 0.25"
    assert with_spread(1.5, 0.0) == with_spread(1.5, None) == "1.50"
