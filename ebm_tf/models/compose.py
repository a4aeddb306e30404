"""Energies put together (Du, Li, Mordatch 2020; method.md section 6): and, or, not.

Energies add where densities multiply, so with p_i ~ exp(-E_i / T)

    and   E = sum E_i                        p ~ product of p_i
    or    E = -T logsumexp(-E_i / T)         p ~ sum of p_i
    not   E = E_1 - weight sum_{i>1} E_i     p ~ p_1 / product of p_i^weight

Everything here is pure: an energy maps images [B, H, W, C] to [B], and so does what comes out.

The law of `or` depends on two things that `and` and `not` do not feel. (1) The levels of the members: an energy is
known up to a constant only, and a constant c on E_i weighs p_i by exp(-c / T), so they have to be brought to one
level first (`shifted`). (2) T. It is exact at the temperature that the energies were trained at, sigma^2 / (2 lambda)
of their chain; there `or` is all but the smallest of the E_i. But chains from noise do not reach that law: the member
that has the lower energy of noise takes nearly all of them. A T as large as the members differ there lets each have
its share, at the price of some images in between. (Two models of a digit each, trained apart: 0.3% and 99.7% at
T = 0.0045, 22% and 77% at T = 1. The labels 3 and 5 of one conditional model: 85% and 15%, 80% and 19%.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

from ebm_tf.demands import members_to_compose
from ebm_tf.langevin import Energy
from ebm_tf.models.energy import EnergyModel

Operation = Literal["and", "or", "not"]


class Composition(NamedTuple):
    """A composed energy, and what the step size of its chains is to be scaled by (the noise stays as it is)."""

    energy: Energy
    step_scale: float


def compose(
    operation: Operation, energies: Sequence[Energy], temperature: float, weight: float
) -> Composition:
    """The composition of two or more energies.

    Args:
        operation: and, or, not (the first without the others).
        energies: images [B, H, W, C] to [B], of the same images.
        temperature: T of `or`, above 0, in units of energy.
        weight: of the energies that `not` takes away, 0 or more.

    Returns:
        The energy, and the scale of the step size: 1/n for `and`, whose gradient is a sum of n. With
        the noise unchanged that is a chain at n times the temperature, whose law is the geometric mean of the p_i.

    Raises:
        ConfigError: fewer than two energies.
    """
    members_to_compose(len(energies), operation)
    if operation == "and":
        return Composition(conjunction(energies), 1 / len(energies))
    if operation == "or":
        return Composition(disjunction(energies, temperature), 1.0)
    return Composition(negation(energies[0], energies[1:], weight), 1.0)


def conjunction(energies: Sequence[Energy]) -> Energy:
    """Sum of E_i: low where all are."""

    def energy(images: tf.Tensor) -> tf.Tensor:
        return tf.add_n([member(images) for member in energies])

    return energy


def disjunction(energies: Sequence[Energy], temperature: float) -> Energy:
    """-T logsumexp(-E_i / T): low where one is; min E_i at most, and less by up to T log n."""

    def energy(images: tf.Tensor) -> tf.Tensor:
        each = tf.stack([member(images) for member in energies])
        return -temperature * tf.reduce_logsumexp(-each / temperature, axis=0)

    return energy


def negation(first: Energy, others: Sequence[Energy], weight: float) -> Energy:
    """E_1 - weight * sum of the others: low where the first is and they are not.

    Nothing but the box [0, 1] of the pixels bounds it from below: a large weight runs away from the others.
    """

    def energy(images: tf.Tensor) -> tf.Tensor:
        return first(images) - weight * tf.add_n([other(images) for other in others])

    return energy


def shifted(member: Energy, offset: float) -> Energy:
    """E - offset: the same density, with another constant."""

    def energy(images: tf.Tensor) -> tf.Tensor:
        return member(images) - offset

    return energy


def of_label(model: EnergyModel, label: int) -> Energy:
    """E(x, label) of a conditional model, as an energy of images."""

    def energy(images: tf.Tensor) -> tf.Tensor:
        return model(images, tf.fill(tf.shape(images)[:1], label))

    return energy


def of_any_label(model: EnergyModel, levels: Mapping[int, float]) -> Energy:
    """min over y of E(x, y) - level of y: a conditional model's energy of an image whose label is not known.

    Summing exp(-(E - level) / T) over the labels comes to the `or` of them, which is this minimum less at most
    T log(classes): nothing at the temperatures that models are trained at (1e-9 by the paper's settings).

    Args:
        levels: of the labels that take part; without them the labels of low levels would win everywhere.
    """
    energies = [shifted(of_label(model, label), level) for label, level in levels.items()]

    def energy(images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_min(tf.stack([each(images) for each in energies]), axis=0)

    return energy
