"""Resampled sets written out: the oracle of what intervals sum up by weights, or take to first order."""

from __future__ import annotations

import numpy as np

from ebm_tf.evaluation.distances import FrechetTo
from ebm_tf.evaluation.statistics import Moments


def draws(count, replicates, rng):
    """The images of every replicate, as indices [count]; copies stand together."""
    for _ in range(replicates):
        yield np.sort(rng.integers(0, count, count))


def centred_spread(estimate, resampled, level):
    """The interval [low, high] of the spread about its own mean, laid around an estimate."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - np.mean(resampled)
    return estimate + low, estimate + high


def resampled_distances(samples, reference, replicates, seed=0):
    """The Frechet distance of every replicate of `samples` [n, d] to `reference`."""
    to_reference = FrechetTo(reference)
    replicas = draws(len(samples), replicates, np.random.default_rng(seed))
    return [to_reference.distance(Moments.of(samples[images])) for images in replicas]


def resampled_frechet_interval(samples, reference, level=0.95, replicates=200, seed=0):
    """What the bootstrap gives where `frechet_interval` takes its first order; too wide unless n >> d."""
    estimate = FrechetTo(reference).distance(Moments.of(samples))
    return centred_spread(estimate, resampled_distances(samples, reference, replicates, seed), level)
