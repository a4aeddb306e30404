"""When two numbers were measured alike: their protocols, field by field."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ebm_tf.nested import flat

BY_NATURE = ("weights", "chains", "names", "intervals")
"""Parts of a protocol that need not be equal: how a model was sampled, what things are called, intervals."""


class Difference(NamedTuple):
    """A field of two protocols with both values; None is what a protocol has not."""

    field: str
    first: Any
    second: Any


def fields(protocol: Mapping[str, Any], ignoring: Collection[str] = BY_NATURE) -> dict[str, Any]:
    """What has to be equal between numbers that are set beside each other, by dotted names.

    Args:
        protocol: nested mappings, as JSON has them.
        ignoring: parts of the protocol (its own keys) that need not be equal.
    """
    counted = {part: value for part, value in protocol.items() if part not in ignoring}
    return {name: value for name, value in flat(counted) if value is not None}


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], ignoring: Collection[str] = BY_NATURE
) -> list[Difference]:
    """The fields in which two protocols differ, by name; none if the numbers were measured alike."""
    one, other = fields(first, ignoring), fields(second, ignoring)
    return [
        Difference(name, one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def confidence_of(protocol: Mapping[str, Any]) -> Optional[float]:
    """That of the intervals, between 0 and 1; None where the protocol does not tell it.

    Args:
        protocol: of one row.
    """
    intervals = protocol.get("intervals")
    told = intervals.get("confidence") if isinstance(intervals, Mapping) else None
    return float(told) if isinstance(told, (int, float)) and 0 < told < 1 else None


def by_rows(each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The protocols of several rows as one, of which `of_row` gives each back.

    Args:
        each: by the name of the row. What is equal in all is told once; what is not, row by row.
    """
    whole: dict[str, Any] = {}
    for key in dict.fromkeys(key for protocol in each.values() for key in protocol):
        told = {row: protocol[key] for row, protocol in each.items() if key in protocol}
        first = next(iter(told.values()))
        if len(told) == len(each) and all(value == first for value in told.values()):
            whole[key] = first
        elif all(isinstance(value, Mapping) for value in told.values()) and len(told) == len(each):
            whole[key] = by_rows(told)
        else:
            whole[key] = told
    return whole


def of_row(protocol: Mapping[str, Any], rows: Collection[str], row: str) -> dict[str, Any]:
    """The protocol of one row: what is told row by row becomes the value of that row.

    Args:
        protocol: of several rows.
        rows: the names of all.
        row: one of them; a thing that is not told of it is left out.
    """
    return dict(_of_row(protocol, frozenset(rows), row))


def _of_row(protocol: Mapping[str, Any], rows: frozenset[str], row: str) -> Iterator[tuple[str, Any]]:
    for key, value in protocol.items():
        if not isinstance(value, Mapping):
            yield key, value
        elif not value or not rows.issuperset(value):
            yield key, dict(_of_row(value, rows, row))
        elif row in value:
            yield key, value[row]
