"""What the supplementary claims in D.1, D.2 and D.3, held against the studies' numbers.

Each function gets the cases of its study by title (`evidence.summarise`) and gives rows of the report. Where the
paper uses a word without a number ("little", "collapse"), the number that stands for it here is named, and is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ebm_tf.studies.design import WITH, WITHOUT
from ebm_tf.studies.design import Case as Design
from ebm_tf.studies.evidence import KINDS
from ebm_tf.studies.rules import (
    FAILS,
    HOLDS,
    OPEN,
    Case,
    Row,
    above,
    beside,
    by_divergence,
    decided,
    difference,
    ratios,
    seeds,
)

LITTLE = 0.1
"""Share of a Frechet distance that counts as little degradation."""
SLOWER = 3.0
"""How many times slower the paper finds back-propagation through all steps."""
COLLAPSED = 0.5
"""Share of the real test images' diversity below which samples count as collapsed."""
DIVERSITY = {
    "class_entropy": "class entropy",
    "recall": "recall",
    "pairwise_pixels": "distance in pixels",
    "pairwise_features": "distance in features",
}
"""What diversity is measured by, with what people call it."""
SAMPLES = "buffer"
"""The samples that are judged in D.3: those of chains from the buffer, as in training, which figure 8 shows."""

Cases = Mapping[str, Case]


def of_noise_init(cases: Cases, real: Mapping[str, Any], level: float) -> list[Row]:
    """S D.1, figure 1."""
    with_kl, without = (cases[Design(terms, "noise").title] for terms in (WITH, WITHOUT))
    shown = {WITH: with_kl, WITHOUT: without}
    place, claim = (
        "S D.1, figure 1",
        "With chains that start from noise, L_KL improves the stability of training",
    )
    rows = []
    for name, wanted, words in (
        (
            "energy_gap",
            -1,
            "the energy difference (root mean square over the second half, in spreads of E(real))",
        ),
        ("last_inception_score", 1, "the Inception Score at the end of training"),
    ):
        found = by_divergence(with_kl, without)
        if found is None:
            sign, told = difference(with_kl, without, name, level)
            found = decided(sign, wanted), told
        verdict, why = found
        side = "nearer to 0" if wanted < 0 else "higher"
        rows.append(
            Row(
                place,
                f"{claim}: {words} is {side} with L_KL",
                "curves without numbers",
                beside(shown, name),
                verdict,
                f"{_counted(with_kl, without)}; {why}.",
            )
        )
    return rows


def of_truncation(cases: Cases, real: Mapping[str, Any], level: float) -> list[Row]:
    """S D.2: what truncation costs in quality and saves in time; the paper's distances are another row's."""
    last, *_, all_steps = cases.values()
    shown = {"last step": last, "all steps": all_steps}
    verdict, why = _little(last, all_steps, "frechet_distance_fresh", level)
    quality = Row(
        "S D.2, figures 6 and 7",
        "Back-propagation through the last step alone degrades samples little",
        "FID 90.54 through the last step, 94.85 through all (MNIST, Inception features)",
        f"Frechet distance from noise: {beside(shown, 'frechet_distance_fresh')}",
        verdict,
        f"Little means here: by no more than {LITTLE:.0%} of the distance with all steps. {why}.",
    )
    times = ratios(all_steps, last, "milliseconds_per_step")
    verdict, told, why = above(times, SLOWER, level)
    speed = Row(
        "S D.2",
        f"Back-propagation through all steps is over {SLOWER:g} times slower to train",
        f"over {SLOWER:g} times",
        f"{told} times ({beside(shown, 'milliseconds_per_step')} ms a step)",
        verdict,
        f"Of the ratio of the times of a step, seed by seed: {why}.",
    )
    return [quality, speed]


def of_collapse(cases: Cases, real: Mapping[str, Any], level: float) -> list[Row]:
    """S D.3, figure 8."""
    with_kl, without = cases[WITH], cases[WITHOUT]
    place = "S D.3, figure 8"
    rule = (
        f"Collapsed means here: class entropy or a mean distance between samples {KINDS[SAMPLES]} below "
        f"{COLLAPSED:.0%} of that of real test images."
    )
    always, never = outcomes(without, real), outcomes(with_kl, real)
    longest = max(without["steps"].values())
    return [
        Row(
            place,
            "Without L_KL, sampling always collapses in the end",
            "always, a picture",
            _told(always),
            HOLDS
            if set(always.values()) == {"collapsed"}
            else FAILS
            if "diverse" in always.values()
            else OPEN,
            f"{rule} Within {longest} steps; longer training is not excluded.",
        ),
        Row(
            place,
            "With L_KL, sampling never collapses",
            "never",
            _told(never),
            HOLDS if set(never.values()) == {"diverse"} else FAILS if "collapsed" in never.values() else OPEN,
            f"{rule} Within {max(with_kl['steps'].values())} steps.",
        ),
        _less_diverse(place, with_kl, without, level),
    ]


CLAIMS: dict[str, Callable[[Cases, Mapping[str, Any], float], list[Row]]] = {
    "StudyNoiseInit": of_noise_init,
    "StudyTruncation": of_truncation,
    "StudyCollapse": of_collapse,
}
"""By study: its cases by title, the diversity of real test images by measure, and the confidence, to rows."""


def outcomes(case: Case, real: Mapping[str, Any]) -> dict[str, str]:
    """What became of each seed: samples that are diverse, or collapsed; or the training, or its chains, diverged.

    Args:
        real: of real test images, each measure of DIVERSITY; None where it has none.
    """
    each = {}
    for seed in case["steps"]:
        shares = [
            found / real[measure]
            for measure in DIVERSITY
            if measure != "recall" and real.get(measure)
            if (found := case["numbers"][f"{measure}_{SAMPLES}"]["by_seed"].get(seed)) is not None
        ]
        if seed in case["diverged"] or not shares:
            each[seed] = "diverged"
        else:
            each[seed] = "collapsed" if min(shares) < COLLAPSED else "diverse"
    return each


def _less_diverse(place: str, with_kl: Case, without: Case, level: float) -> Row:
    """By several measures, at a confidence that allows for their number (Bonferroni)."""
    names = [
        f"{measure}_{SAMPLES}"
        for measure in DIVERSITY
        if all(len(case["numbers"][f"{measure}_{SAMPLES}"]["by_seed"]) for case in (with_kl, without))
    ]
    each = 1 - (1 - level) / max(len(names), 1)
    found = {name: difference(without, with_kl, name, each) for name in names}
    signs = {sign for sign, _ in found.values()}
    verdict = HOLDS if -1 in signs and 1 not in signs else FAILS if 1 in signs and -1 not in signs else OPEN
    words = {-1: "less", 0: "not told apart", 1: "more"}
    told = ", ".join(f"{_measure(name)}: {words[sign]} ({why})" for name, (sign, why) in found.items())
    shown = {WITH: with_kl, WITHOUT: without}
    return Row(
        place,
        "Samples without L_KL are significantly less diverse than those with it",
        "significantly, a picture",
        "; ".join(f"{_measure(name)}: {beside(shown, name)}" for name in names) or "no samples to judge",
        verdict,
        f"Without L_KL, of samples {KINDS[SAMPLES]}: {told or 'nothing was measured'}.",
    )


def _little(last: Case, all_steps: Case, name: str, level: float) -> tuple[str, str]:
    """Whether the distance with the last step alone is below that with all steps and LITTLE of it more."""
    numbers = all_steps["numbers"][name]["by_seed"]
    limit = {seed: (1 + LITTLE) * distance for seed, distance in numbers.items()}
    sign, told = difference(last, {"numbers": {name: {"by_seed": limit}}}, name, level)
    return decided(sign, -1), f"Through the last step, less {1 + LITTLE:g} times that through all: {told}"


def _counted(with_kl: Case, without: Case) -> str:
    return (
        f"Diverged: {len(with_kl['diverged'])} of {seeds(with_kl)} trainings {WITH}, {len(without['diverged'])} of "
        f"{seeds(without)} {WITHOUT}"
    )


def _told(found: Mapping[str, str]) -> str:
    """How many seeds had which outcome."""
    counts = {outcome: [*found.values()].count(outcome) for outcome in dict.fromkeys(found.values())}
    return ", ".join(f"{count} of {len(found)} seeds {outcome}" for outcome, count in counts.items())


def _measure(name: str) -> str:
    return DIVERSITY[name.rpartition("_")[0]]
