"""One training step of improved contrastive divergence, as pure functions of tensors (method.md section 1).

`loss_gradients` is what each device does with its share of the global batch. Its two halves touch disjoint
graphs: L_CD and L_reg reach the weights through the energies of detached images, L_opt and L_ent through the last
steps of the chain alone. So their gradients come apart at no cost, and both norms are measured at every step. The
dE/dx that L_opt asks for is left over by the first half.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Optional

import tensorflow as tf

from ebm_tf import losses
from ebm_tf.config import Loss
from ebm_tf.langevin import Chain, Energy, Noise, langevin_with_tail

Gradients = list[tf.Tensor]
Measurements = dict[str, tf.Tensor]

LEAST_SLOPE = 1e-12
"""dL/dE of an image, of which others have about 1/batch, that is as good as none."""


class Share(NamedTuple):
    """What one device gets of a step.

    real: x+, images [B, H, W, C] in [0, 1]. start: where its chains begin, same shape. others: b_j, images of the
    buffer [N, H, W, C]. entropy_active: bool scalar, whether L_ent takes part yet. real_labels, labels: classes of
    the real images and of the chains, int32 [B], for a conditional energy; else None.
    """

    real: tf.Tensor
    start: tf.Tensor
    others: tf.Tensor
    entropy_active: tf.Tensor
    real_labels: Optional[tf.Tensor] = None
    labels: Optional[tf.Tensor] = None


class Result(NamedTuple):
    """x-, the two halves of the gradient (of sums over the share, divided by the global batch), measurements."""

    samples: tf.Tensor
    contrastive: Gradients
    kl: Gradients
    measurements: Measurements


def loss_gradients(
    energy: Callable[..., tf.Tensor],
    weights: list[tf.Variable],
    share: Share,
    noise: Noise,
    chain: Chain,
    tail: int,
    settings: Loss,
    global_batch: int,
    begin: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Result:
    """Run the chains of one share and differentiate the loss with respect to `weights`.

    `energy` maps images [B, H, W, C] to energies [B], or, where the share has labels, images and labels.
    Measurements are sums over the share divided by `global_batch`, so that adding up devices gives means. Where
    `settings.entropy` is 0 no nearest neighbour is looked for, and the measurement loss_entropy is 0. All calls of
    `energy` are made within `begin()`, see `EnergyModel.kernels_computed_once`.
    """

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(values, share.start.dtype)) / global_batch

    wanted = settings.kl > 0 or settings.entropy > 0
    with tf.GradientTape(watch_accessed_variables=wanted) as kl_tape, begin():
        last = langevin_with_tail(_given(energy, share.labels), share.start, noise, chain, tail)
        entropy_terms = (
            losses.entropy(last.images, share.others, settings.entropy_epsilon)
            if settings.entropy > 0
            else tf.zeros_like(last.images[:, 0, 0, 0])
        )
    samples = tf.stop_gradient(last.images)

    with tf.GradientTape() as tape, begin():
        tape.watch(samples)
        both = None if share.labels is None else tf.concat([share.real_labels, share.labels], axis=0)
        energies = _given(energy, both)(tf.concat([share.real, samples], axis=0))
    with tf.GradientTape() as loss_tape:
        loss_tape.watch(energies)
        real_energy, sample_energy = tf.split(energies, 2)
        contrastive_term = mean(losses.contrastive_divergence(real_energy, sample_energy))
        regularisation_term = mean(losses.regularisation(real_energy, sample_energy))
        contrastive_loss = contrastive_term + settings.regularisation * regularisation_term
    slopes = _never_zero(loss_tape.gradient(contrastive_loss, energies))
    *contrastive, image_gradient = _gradient(tape, energies, [*weights, samples], slopes)
    # One way back gives both: with respect to an image, the gradient of L is dL/dE times that of E.
    sample_gradient = image_gradient / tf.split(slopes, 2)[1][:, None, None, None]

    entropy_weight = settings.entropy * tf.cast(share.entropy_active, share.start.dtype)
    with kl_tape:
        kl_loss = settings.kl * mean(losses.sampler_energy(last.images, sample_gradient))
        kl_loss += entropy_weight * mean(entropy_terms)
    kl = _gradient(kl_tape, kl_loss, weights)

    return Result(
        samples,
        contrastive,
        kl,
        {
            "loss_cd": contrastive_term,
            "loss_opt": mean(sample_energy),
            "loss_entropy": mean(entropy_terms),
            "loss_regularisation": regularisation_term,
            "energy_real": mean(real_energy),
            "energy_sample": mean(sample_energy),
            "energy_real_square": mean(tf.square(real_energy)),
            "energy_sample_square": mean(tf.square(sample_energy)),
            "displacement": mean(_norms(samples - share.start)),
            "score_size": mean(_norms(last.gradient)),
            "clipped_share": mean(tf.reduce_mean(tf.cast(last.clipped, samples.dtype), axis=[1, 2, 3])),
        },
    )


def added(results: list[Result]) -> Result:
    """The result of a share from those of its parts, in their order."""
    if len(results) == 1:
        return results[0]
    return Result(
        tf.concat([result.samples for result in results], axis=0),
        [tf.add_n(of_weight) for of_weight in zip(*(result.contrastive for result in results))],
        [tf.add_n(of_weight) for of_weight in zip(*(result.kl for result in results))],
        {
            name: tf.add_n([result.measurements[name] for result in results])
            for name in results[0].measurements
        },
    )


def total_loss(measurements: Measurements, settings: Loss, entropy_active: tf.Tensor) -> tf.Tensor:
    """L of method.md section 1 from the values of its terms."""
    return (
        measurements["loss_cd"]
        + settings.kl * measurements["loss_opt"]
        + settings.entropy * tf.cast(entropy_active, tf.float32) * measurements["loss_entropy"]
        + settings.regularisation * measurements["loss_regularisation"]
    )


def with_spreads(measurements: Measurements) -> Measurements:
    """Replace the mean squares of the energies by their standard deviations over the global batch."""
    named = dict(measurements)
    for kind in ("real", "sample"):
        variance = named.pop(f"energy_{kind}_square") - named[f"energy_{kind}"] ** 2
        named[f"energy_{kind}_spread"] = tf.sqrt(tf.maximum(variance, 0.0))
    return named


def clip_by_global_norm(gradients: Gradients, norm: tf.Tensor, limit: float) -> Gradients:
    """Scale all gradients together so that their global `norm` is at most `limit`."""
    scale = limit / tf.maximum(norm, limit)
    return [gradient * scale for gradient in gradients]


def _given(energy: Callable[..., tf.Tensor], labels: Optional[tf.Tensor]) -> Energy:
    """The energy as a function of images alone: of a conditional one, with the labels fixed."""
    return energy if labels is None else lambda images: energy(images, labels)


def _never_zero(slopes: tf.Tensor) -> tf.Tensor:
    """The same but for those that are so small that they could not be divided by."""
    return tf.where(tf.abs(slopes) < LEAST_SLOPE, tf.constant(LEAST_SLOPE, slopes.dtype), slopes)


def _gradient(
    tape: tf.GradientTape, of: tf.Tensor, to: list[Any], times: Optional[tf.Tensor] = None
) -> Gradients:
    """The gradient of `of`, or of the sum of its elements `times` these."""
    return list(tape.gradient(of, to, times, unconnected_gradients=tf.UnconnectedGradients.ZERO))


def _norms(images: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(images), axis=[1, 2, 3]))
