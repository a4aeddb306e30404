"""Where the time of a computation goes, by kind of operation, as TensorFlow's profiler sees it."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

KERNEL = re.compile(r"^[^:]+:(_?[A-Za-z]\w*)$")
"""An operation at work, as the profiler names it: its node, then its kind."""


def milliseconds_by_kind(action: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of each kind of operation in one call, most first.

    Summed over threads: what ran side by side counts twice. The call is one of a graph that is built already.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            action()
        finally:
            tf.profiler.experimental.stop()
        spaces = [
            xplane_pb2.XSpace.FromString(file.read_bytes()) for file in Path(folder).rglob("*.xplane.pb")
        ]
    totals: Counter[str] = Counter()
    for plane in (plane for space in spaces for plane in space.planes if plane.name.startswith("/host:CPU")):
        names = {number: KERNEL.match(kind.name) for number, kind in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            if named := names.get(event.metadata_id):
                totals[named[1]] += event.duration_ps / 1e9
    return dict(totals.most_common())
