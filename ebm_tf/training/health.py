"""The guard against divergence: it reads the measurements of each step and says what is out of range.

What a diverging run shows first (measured on digits): the gap E(real) - E(samples) far from zero, then a jump of the
gradient norm, then samples whose energies spread much wider than those of real images; large energies come last.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from ebm_tf.config import Health

WINDOW = 200  # steps whose gradient norms make the running median


@dataclass
class Guard:
    """Watches one run. Its state goes into the checkpoint, so that a resumed run judges alike."""

    settings: Health
    norms: list[float] = field(default_factory=list)
    bad_steps: int = 0

    def check(self, step: int, measured: Mapping[str, float]) -> Optional[str]:
        """What is wrong after `step`, as a phrase, once it has lasted for `patience` steps; None if nothing."""
        for name, value in measured.items():
            if not math.isfinite(value):
                return f"{name} is {value} at step {step}"
        problem = None if step < self.settings.grace_steps else self._out_of_range(measured)
        self.norms = [*self.norms[1 - WINDOW :], measured["gradient_norm"]]
        self.bad_steps = self.bad_steps + 1 if problem else 0
        return f"{problem} at step {step}" if self.bad_steps >= self.settings.patience else None

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {key: value for key, value in asdict(self).items() if key != "settings"}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state` gave."""
        self.norms, self.bad_steps = list(state["norms"]), int(state["bad_steps"])

    def _out_of_range(self, measured: Mapping[str, float]) -> Optional[str]:
        limits = self.settings
        real_spread = max(measured["energy_real_spread"], 1e-6)
        gap = measured["energy_real"] - measured["energy_sample"]
        ratio = measured["energy_sample_spread"] / real_spread
        for kind in ("real", "sample"):
            energy = measured[f"energy_{kind}"]
            if abs(energy) > limits.max_energy:
                return f"the mean energy of {kind} images is {energy:.3g} (limit +-{limits.max_energy:g})"
        if abs(gap) > limits.max_gap_spreads * real_spread:
            return (
                f"E(real) - E(samples) is {gap:.3g}, {abs(gap) / real_spread:.1f} spreads of E(real) "
                f"(limit {limits.max_gap_spreads:g})"
            )
        if ratio > limits.max_spread_ratio:
            return (
                f"the energies of samples spread {ratio:.1f} times as wide as those of real images "
                f"(limit {limits.max_spread_ratio:g})"
            )
        usual = statistics.median(self.norms) if len(self.norms) >= WINDOW // 4 else math.inf
        if measured["gradient_norm"] > limits.max_gradient_growth * usual:
            return (
                f"the gradient norm is {measured['gradient_norm']:.3g}, usually {usual:.3g} "
                f"(limit {limits.max_gradient_growth:g} times)"
            )
        return None
