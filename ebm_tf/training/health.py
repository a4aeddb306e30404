"""The guard against divergence: it reads the measurements of each step and says what is out of range.

What a diverging run shows first (measured on digits): the gap E(real) - E(samples) far from zero, then a jump of the
gradient norm, then samples whose energies spread much wider than those of real images; large energies come last. A
network that leapt too far may be dead afterwards: one energy for all images, and no gradient.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Optional

from ebm_tf.config import Health

WINDOW = 200  # steps whose gradient norms make the running median
DEAD = 1e-6  # gradient norm that no network has that still learns

TOO_FAST = "try a smaller optimiser.learning_rate, or a longer optimiser.warmup_steps"
TOO_LARGE = "try a smaller optimiser.learning_rate, or a larger loss.regularisation"
IF_IT_SWINGS = "; if the gap changes its sign, a smaller optimiser.learning_rate"
CHAINS_STAY_BEHIND = (
    "the chains do not get down to the energies of real images: try a larger langevin.step_size, more "
    f"langevin.steps, or a smaller loss.regularisation{IF_IT_SWINGS}"
)
CHAINS_OVERSHOOT = (
    f"the chains end below the energies of real images: try a smaller langevin.step_size{IF_IT_SWINGS}"
)


class Problem(NamedTuple):
    """What is wrong, as a phrase, and what to try against it."""

    said: str
    remedy: str


@dataclass
class Guard:
    """Watches one run. Its state goes into the checkpoint, so that a resumed run judges alike."""

    settings: Health
    norms: list[float] = field(default_factory=list)
    bad_steps: int = 0

    def check(self, step: int, measured: Mapping[str, float]) -> Optional[Problem]:
        """What is wrong after `step`, once it has lasted for `patience` steps; None if nothing."""
        for name, value in measured.items():
            if not math.isfinite(value):
                return Problem(f"{name} is {value} at step {step}", TOO_LARGE)
        problem = None if step < self.settings.grace_steps else self._out_of_range(measured)
        self.norms = [*self.norms[1 - WINDOW :], measured["gradient_norm"]]
        self.bad_steps = self.bad_steps + 1 if problem else 0
        if problem is None or self.bad_steps < self.settings.patience:
            return None
        return problem._replace(said=f"{problem.said} at step {step}")

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {key: value for key, value in asdict(self).items() if key != "settings"}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state` gave."""
        self.norms, self.bad_steps = list(state["norms"]), int(state["bad_steps"])

    def _out_of_range(self, measured: Mapping[str, float]) -> Optional[Problem]:
        limits = self.settings
        real_spread = max(measured["energy_real_spread"], 1e-6)
        gap = measured["energy_real"] - measured["energy_sample"]
        ratio = measured["energy_sample_spread"] / real_spread
        for kind in ("real", "sample"):
            energy = measured[f"energy_{kind}"]
            if abs(energy) > limits.max_energy:
                return Problem(
                    f"the mean energy of {kind} images is {energy:.3g} (limit +-{limits.max_energy:g})",
                    TOO_LARGE,
                )
        if abs(gap) > limits.max_gap_spreads * real_spread:
            return Problem(
                f"E(real) - E(samples) is {gap:.3g}, {abs(gap) / real_spread:.1f} spreads of E(real) "
                f"(limit {limits.max_gap_spreads:g})",
                CHAINS_STAY_BEHIND if gap < 0 else CHAINS_OVERSHOOT,
            )
        if ratio > limits.max_spread_ratio:
            return Problem(
                f"the energies of samples spread {ratio:.1f} times as wide as those of real images "
                f"(limit {limits.max_spread_ratio:g})",
                TOO_FAST,
            )
        norm, usual = measured["gradient_norm"], usual_norm(self.norms)
        if norm > limits.max_gradient_growth * usual:
            return Problem(
                f"the gradient norm is {norm:.3g}, usually {usual:.3g} (limit {limits.max_gradient_growth:g} times)",
                TOO_FAST,
            )
        if norm < DEAD:
            return Problem(f"the network is dead: the gradient norm is {norm:.3g}", TOO_FAST)
        return None


def usual_norm(norms: Sequence[float]) -> float:
    """The median of the gradient norms of the last steps, `WINDOW` of them; infinite while there are few."""
    last = norms[-WINDOW:]
    return statistics.median(last) if len(last) >= WINDOW // 4 else math.inf
