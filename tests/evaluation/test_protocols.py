"""Protocols field by field, and row by row."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ebm_tf.evaluation.protocols import Difference, by_rows, confidence_of, differences, fields, of_row

ROWS = ("fresh", "buffer")
PROTOCOL = {
    "extractor": {"name": "classifier", "classes": None},
    "images": {"fresh": 50, "buffer": 40},
    "kid": {"subsets": 100, "subset_size": {"fresh": 50, "buffer": 40}},
    "chains": {"buffer": {"steps": 5}},
    "weights": "average",
}


def test_what_lies_in_the_nature_of_a_model_does_not_count() -> None:
    other = {**PROTOCOL, "weights": "last", "chains": {}}
    assert differences(PROTOCOL, other) == []
    assert differences(PROTOCOL, other, ignoring=("chains",)) == [Difference("weights", "average", "last")]


def test_a_field_named_like_an_ignored_part_counts_where_it_is_no_part() -> None:
    assert differences({"extractor": {"weights": "a"}}, {"extractor": {"weights": "b"}}) == [
        Difference("extractor.weights", "a", "b")
    ]


def test_differences_come_by_name_and_none_is_what_is_not_there() -> None:
    assert differences({"b": 1, "a": {"x": 1}}, {"b": 2, "c": 3}) == [
        Difference("a.x", 1, None),
        Difference("b", 1, 2),
        Difference("c", None, 3),
    ]
    assert fields(PROTOCOL)["kid.subset_size.fresh"] == 50
    assert "extractor.classes" not in fields(PROTOCOL)


def test_differences_turn_round_with_their_arguments() -> None:
    other = {**PROTOCOL, "images": {"fresh": 9}}
    swapped = [Difference(field, second, first) for field, first, second in differences(other, PROTOCOL)]
    assert differences(PROTOCOL, other) == swapped


def test_a_row_has_its_own_values_alone() -> None:
    assert of_row(PROTOCOL, ROWS, "buffer") == {
        "extractor": {"name": "classifier", "classes": None},
        "images": 40,
        "kid": {"subsets": 100, "subset_size": 40},
        "chains": {"steps": 5},
        "weights": "average",
    }
    assert "chains" not in of_row(PROTOCOL, ROWS, "fresh")


def test_an_empty_part_is_not_told_row_by_row() -> None:
    assert of_row({"chains": {}, "images": {"fresh": 1}}, ROWS, "fresh") == {"chains": {}, "images": 1}


@pytest.mark.parametrize("row", ROWS)
def test_protocols_of_one_row_differ_where_the_whole_ones_do(row: str) -> None:
    other = {**PROTOCOL, "images": {"fresh": 50, "buffer": 41}}
    differ = differences(of_row(PROTOCOL, ROWS, row), of_row(other, ROWS, row))
    assert differ == ([Difference("images", 40, 41)] if row == "buffer" else [])


@pytest.mark.parametrize(
    ("intervals", "told"),
    [
        ({"draws": 9, "confidence": 0.9}, 0.9),
        ({"draws": 9}, None),
        ({"confidence": None}, None),
        ({"confidence": 95}, None),
        ({"confidence": True}, None),
        ({"confidence": "0.9"}, None),
        ([0.9], None),
        (None, None),
    ],
)
def test_the_confidence_of_intervals_is_a_share_or_not_told(intervals: Any, told: Optional[float]) -> None:
    assert confidence_of({"intervals": intervals}) == told
    assert confidence_of({}) is None


def test_rows_are_put_together_and_taken_apart() -> None:
    each = {
        "fresh": {"images": 5, "kid": {"subsets": 2, "size": 5}, "seed": 0, "score": {"splits": 3}},
        "buffer": {"images": 6, "kid": {"subsets": 2, "size": 6}, "seed": 0},
    }
    whole = by_rows(each)
    assert whole["seed"] == 0
    assert whole["kid"] == {"subsets": 2, "size": {"fresh": 5, "buffer": 6}}
    assert whole["score"] == {"fresh": {"splits": 3}}
    for row, protocol in each.items():
        assert of_row(whole, list(each), row) == protocol
