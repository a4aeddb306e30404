"""From the config to chains that draw samples, and back to words about what they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ebm_tf.config import Langevin, Sampling, chain_of_samples
from ebm_tf.langevin import chain_settings, chain_temperature
from ebm_tf.sampling import Method

LOW_ACCEPTANCE = 0.01  # below it MALA's chains have hardly moved
FINE_TEMPERATURE = 1e-6  # energies near 1 are known to some 1e-7 in float32, and MALA divides them by T


def method_of(settings: Sampling, langevin: Langevin, steps: int) -> Method:
    """How chains of `steps` steps move by the config; MALA makes no use of noise scale and annealing.

    What `demands.chains_can_be_drawn` refuses is not asked again here.
    """
    step_size, noise_scale = chain_of_samples(settings, langevin)
    chain = chain_settings(
        steps, step_size, noise_scale, anneal=langevin.anneal, gradient_clip=langevin.gradient_clip
    )
    if settings.sampler == "langevin":
        return Method(chain)
    temperature = settings.temperature
    if temperature is None:
        temperature = chain_temperature(step_size, noise_scale)
    return Method(chain, tf.constant(temperature, tf.float32))


def describe_chain(method: Method, seed: int, acceptance: np.ndarray | None) -> dict[str, Any]:
    """What the chains were, for the protocol of the numbers that come of them.

    Args:
        acceptance: of MALA, the share of its proposals that each chain accepted, [n].

    Returns:
        For JSON. Of MALA with warnings, where the chains are not what they are meant to be.
    """
    chain = method.chain
    told: dict[str, Any] = {
        "sampler": "mala" if acceptance is not None else "langevin",
        "steps": int(chain.steps),
        "step_size": _number(chain.step_size),
        "gradient_clip": None if chain.gradient_clip is None else _number(chain.gradient_clip),
        "seed": seed,
    }
    if acceptance is None:
        told |= {"noise_scale": _number(chain.noise_scale), "anneal": chain.anneal}
        return told | {"augment_every": None if method.rounds is None else method.rounds.every}
    spread = {"mean": acceptance.mean(), "smallest": acceptance.min(), "largest": acceptance.max()}
    told["temperature"] = _number(method.temperature)
    told["acceptance"] = {name: float(value) for name, value in spread.items()}
    return told | {"warnings": _warnings(told, chain.anneal)}


def _warnings(told: dict[str, Any], anneal: bool) -> list[str]:
    said, temperature, mean = [], told["temperature"], told["acceptance"]["mean"]
    if told["steps"] and mean < LOW_ACCEPTANCE:
        said.append(
            f"mala accepted {mean:.2%} of its proposals at step size {told['step_size']:g} and temperature "
            f"{temperature:g}: the chains have hardly moved (a proposal that leaves [0, 1] in one pixel is refused "
            "whole); lower sampling.step_size or raise sampling.temperature"
        )
    if temperature < FINE_TEMPERATURE:
        said.append(
            f"at temperature {temperature:g} the rounding of float32 energies decides which proposals are accepted"
        )
    if anneal:
        said.append("langevin.anneal is true, which is nothing to mala: it draws at one temperature")
    return said


def _number(value: Any) -> float:
    """Of a float32 scalar, the shortest decimal that means it."""
    return float(str(value.numpy()))
