"""Chains from given starts, whole, and an energy whose chains are known: what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ebm_tf.langevin import Chain
from ebm_tf.sampling import Kind, Method, Report, stream_chains


def bowl(images: tf.Tensor) -> tf.Tensor:
    """E(x) = sum (x - 1/4)^2, [B]: a step without noise takes x - 1/4 to (1 - 2 lambda) (x - 1/4)."""
    return tf.reduce_sum((images - 0.25) ** 2, axis=[1, 2, 3])


def no_report(done: int, total: int) -> None:
    """A report that nobody reads."""


def run_chains(
    energy: Any,
    start: np.ndarray,
    chain: Chain,
    seed: int,
    batch_size: int,
    report: Report,
    labels: np.ndarray | None = None,
    kind: Kind = Kind.FRESH,
) -> np.ndarray:
    """The ends of independent Langevin chains, float32 [n, H, W, C] in [0, 1]; arguments as of `stream_chains`.

    Args:
        start: float32 [n, H, W, C] in [0, 1].
    """

    def starts(first: int, count: int) -> np.ndarray:
        return start[first : first + count]

    ends = np.empty_like(start)
    for batch in stream_chains(
        energy, starts, len(start), Method(chain), seed, batch_size, report, labels, kind
    ):
        ends[batch.first : batch.first + len(batch.images)] = batch.images
    return ends
