"""From the config to chains that draw samples, and back to words about what they were."""

from __future__ import annotations

from typing import Any, Optional

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
        "step_size": decimal_of(chain.step_size),
        "gradient_clip": None if chain.gradient_clip is None else decimal_of(chain.gradient_clip),
        "seed": seed,
    }
    if acceptance is None:
        told |= {"noise_scale": decimal_of(chain.noise_scale), "anneal": chain.anneal}
        return told | {"augment_every": None if method.rounds is None else method.rounds.every}
    spread = {"mean": acceptance.mean(), "smallest": acceptance.min(), "largest": acceptance.max()}
    told["temperature"] = decimal_of(method.temperature)
    told["acceptance"] = {name: float(value) for name, value in spread.items()}
    return told | {"warnings": _warnings(told, chain.anneal)}


def hardly_moved(acceptance: float, step_size: float, temperature: float) -> Optional[str]:
    """What is wrong with chains of MALA that accepted this share of their proposals, 0 to 1; None if nothing is."""
    if acceptance >= LOW_ACCEPTANCE:
        return None
    return (
        f"mala accepted {acceptance:.2%} of its proposals at step size {step_size:g} and temperature "
        f"{temperature:g}: the chains have hardly moved (a proposal that leaves [0, 1] in one pixel is refused whole)"
    )


def _warnings(told: dict[str, Any], anneal: bool) -> list[str]:
    said, temperature = [], told["temperature"]
    still = hardly_moved(told["acceptance"]["mean"], told["step_size"], temperature)
    if told["steps"] and still:
        said.append(f"{still}; lower sampling.step_size or raise sampling.temperature")
    if temperature < FINE_TEMPERATURE:
        said.append(
            f"at temperature {temperature:g} the rounding of float32 energies decides which proposals are accepted"
        )
    if anneal:
        said.append("langevin.anneal is true, which is nothing to mala: it draws at one temperature")
    return said


def decimal_of(value: Any) -> float:
    """Of a float32 scalar, the shortest decimal that means it."""
    return float(str(value.numpy()))
