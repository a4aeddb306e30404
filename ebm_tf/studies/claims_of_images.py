"""What the paper says of the images that a model makes: the supplementary's section A, and numbers elsewhere.

A number of the paper is set against ours only where both are of the same images, measured by the same network; else
it stands beside ours as not comparable, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ebm_tf.evaluation.rounding import rounded, with_interval
from ebm_tf.studies.rules import FAILS, HOLDS, INCOMPARABLE, NOT_RUN, OPEN, Row

MAIN = "main paper"
"""Numbers that are not in the supplementary: from the paper's text, and not checked against it here."""
COPIED = 2.0
"""How many times the test images' share of samples may lie as near to a training image, and still be distinct."""
COHERENT = 0.9
"""Share of the precision of real test images from which on samples count as coherent."""
EQUAL_TIME = 1.25
"""Up to this ratio two trainings count as equally long."""
LAST, ALL = "last step", "all steps"
"""Of StudyTruncation, its first case and its last."""
AUROC_ROUNDING = 0.005
"""The paper's have two digits."""


class Published(NamedTuple):
    """A number of the paper: where it stands, what it is of, and the metric; less or more of it is better."""

    place: str
    words: str
    value: float
    dataset: str
    metric: str
    model: str = "ebm"


PUBLISHED = (
    Published("S A.2", "FID of the energy model, LSUN bedrooms 128x128", 33.46, "lsun/bedroom", "frechet_distance"),
    Published("S A.2", "FID of the SNGAN, LSUN bedrooms 128x128", 64.05, "lsun/bedroom", "frechet_distance", "sngan"),
    Published("S D.2, figure 6", "FID on MNIST, L_KL through one step", 90.54, "mnist", "frechet_distance", LAST),
    Published("S D.2, figure 7", "FID on MNIST, L_KL through all steps", 94.85, "mnist", "frechet_distance", ALL),
    Published(MAIN, "FID on CIFAR-10", 25.1, "cifar10", "frechet_distance"),
    Published(MAIN, "Inception Score on CIFAR-10", 7.85, "cifar10", "inception_score"),
    Published(MAIN, "FID on ImageNet 32x32", 32.48, "imagenet_resized/32x32", "frechet_distance"),
    Published(MAIN, "FID on CelebA-HQ 128x128", 28.78, "celeb_a_hq/128", "frechet_distance"),
)  # fmt: skip
DETECTED = {"svhn_cropped": 0.91, "dtd": 0.88, "cifar100": 0.83}
"""AUROC of CIFAR-10 against other data sets, by their names here (main paper)."""
PICTURES = {
    "S A.3, figure 3": ("unconditional samples of LSUN bedrooms 128x128", "lsun/bedroom"),
    "S A.3, figure 4": ("unconditional samples of CIFAR-10", "cifar10"),
    "S A.3, figure 5": ("unconditional samples of ImageNet 32x32", "imagenet_resized/32x32"),
}


class Numbers(NamedTuple):
    """What is set against the paper's numbers: metrics.json of the tasks; None of a task that was not run.

    truncation: of StudyTruncation, its cases.
    """

    dataset: str
    fid: Mapping[str, Any]
    compared: Mapping[str, Any]
    neighbours: Mapping[str, Any]
    ood: Mapping[str, Any]
    composed: Optional[Mapping[str, Any]]
    truncation: Mapping[str, Any]

    @property
    def extractor(self) -> str:
        """What features are of."""
        return str(self.fid["protocol"]["extractor"]["name"])


class Ours(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return with_interval(self.value, (self.low, self.high))


def rows(numbers: Numbers) -> Iterator[Row]:
    """Those of section A, then each number of the paper, then what the main paper says of other uses."""
    yield _distinct(numbers)
    yield _against_sngan(numbers)
    yield _coherent(numbers)
    for place, (words, dataset) in PICTURES.items():
        why = "A picture has no number to compare; ours is shown below."
        if dataset != numbers.dataset:
            why = f"A picture, and of other images than {numbers.dataset}; ours is shown below."
        yield Row(place, f"Picture: {words}", "a picture", "samples from noise, below", INCOMPARABLE, why)
    for published in PUBLISHED:
        yield _against_number(published, numbers)
    for name, auroc in DETECTED.items():
        yield _of_detection(name, auroc, numbers)
    yield _of_composition(numbers)


def _distinct(numbers: Numbers) -> Row:
    found = numbers.neighbours
    share, interval = found["share_nearer_than_percentile_test"], found["share_interval"]
    limit = COPIED * found["percentile"] / 100
    verdict = HOLDS if interval["high"] <= limit else FAILS if interval["low"] > limit else OPEN
    return Row(
        "S A.1, figure 2",
        "Generated images are distinct from the training set (L2 nearest neighbours)",
        "a picture of CelebA-HQ",
        f"{share:.1%} [{interval['low']:.1%}, {interval['high']:.1%}] of samples lie nearer to a training image than "
        f"the nearest {found['percentile']:g}% of test images do",
        verdict,
        f"Distinct means here: at most {limit:.0%}. Samples lie {rounded(found['sample_to_train_mean'])} from their "
        f"nearest training image on average, test images {rounded(found['test_to_train_mean'])}.",
    )


def _against_sngan(numbers: Numbers) -> Row:
    models, better = numbers.compared["models"], numbers.compared["better"]["frechet_distance"]
    apart = numbers.compared["told_apart"]["frechet_distance"]
    seconds = {model: models[model]["seconds"] for model in ("ebm", "sngan")}
    longer = max(seconds, key=lambda model: seconds[model])
    uneven = seconds[longer] > EQUAL_TIME * min(seconds.values())
    words = f"{seconds['ebm']:.0f} s against {seconds['sngan']:.0f} s"
    if not apart:
        verdict, why = OPEN, "Their intervals overlap, or are not known"
    elif uneven and longer == better:
        verdict, why = OPEN, "Their intervals lie apart, but the better one had more time"
    else:
        verdict, why = HOLDS if better == "ebm" else FAILS, "Their intervals lie apart"
    return Row(
        "S A.2",
        "The energy model has a smaller Fréchet distance than an SNGAN, at equal time of training",
        "33.46 against 64.05 (LSUN bedrooms 128x128, Inception features; time not told)",
        f"{_of_model(models['ebm'])} against {_of_model(models['sngan'])}; {words} of training",
        verdict,
        f"{why}. Intervals are over samples of one training of each: what another seed would change is not known.",
    )


def _coherent(numbers: Numbers) -> Row:
    precision = numbers.fid["precision"]
    real, fresh = precision["real_test"], _fresh(numbers.fid, "precision")
    claim, place = "Generated images are relatively globally coherent", "S A.3, figures 3 to 5"
    if real is None or fresh is None:
        return Row(place, claim, "pictures", "-", OPEN, "Precision was not measured.")
    limit = COHERENT * real
    verdict = HOLDS if fresh.low >= limit else FAILS if fresh.high < limit else OPEN
    return Row(
        place,
        claim,
        "pictures",
        f"precision {fresh}; real test images {rounded(real)}",
        verdict,
        f"Coherent means here: the share of samples that lie among real images (precision) is {COHERENT:.0%} of that "
        f"of real test images, {rounded(limit)}, or more. That is no judgement by eye.",
    )


def _against_number(published: Published, numbers: Numbers) -> Row:
    ours = _our_number(published, numbers)
    claim, paper = published.words, f"{published.value:g}"
    shown = str(ours) if ours else "-"
    reasons = []
    if numbers.dataset != published.dataset:
        reasons.append(f"of {numbers.dataset}")
    if numbers.extractor != "inception":
        reasons.append(f"in features of {numbers.extractor}, not of the reference Inception network")
    if reasons:
        return Row(
            published.place, claim, paper, shown, INCOMPARABLE, f"Because ours is {', and '.join(reasons)}."
        )
    if ours is None:
        return Row(published.place, claim, paper, shown, OPEN, "It was not measured.")
    less = published.metric == "frechet_distance"
    reached = ours.low <= published.value if less else ours.high >= published.value
    why = (
        "The interval holds the paper's value, or better ones." if reached else "The whole interval is worse."
    )
    return Row(published.place, claim, paper, shown, HOLDS if reached else FAILS, why)


def _our_number(published: Published, numbers: Numbers) -> Optional[Ours]:
    if published.model == "sngan":
        return _numbers_of(numbers.compared["models"]["sngan"], published.metric)
    if published.model == "ebm":
        return _fresh(numbers.fid, published.metric)
    cases = [*numbers.truncation.values()]
    found = cases[0 if published.model == LAST else -1]["numbers"][f"{published.metric}_fresh"]
    return None if found["interval"] is None else Ours(found["mean"], *found["interval"])


def _fresh(fid: Mapping[str, Any], metric: str) -> Optional[Ours]:
    """Of samples from noise; without an interval it is as wide as nothing."""
    value = fid[metric].get("fresh")
    if value is None:
        return None
    return Ours(value, *fid["intervals"]["fresh"].get(metric, (value, value)))


def _numbers_of(model: Mapping[str, Any], metric: str) -> Optional[Ours]:
    value = model.get(metric)
    return None if value is None else Ours(value, *model["intervals"].get(metric, (value, value)))


def _of_model(model: Mapping[str, Any]) -> str:
    return str(_numbers_of(model, "frechet_distance"))


def _of_detection(name: str, paper: float, numbers: Numbers) -> Row:
    sets = numbers.ood["sets"]
    claim = f"AUROC of CIFAR-10's test images against {name} by the energy"
    if numbers.dataset == "cifar10" and name in sets:
        auroc = sets[name]["auroc"]
        reached = auroc >= paper - AUROC_ROUNDING
        why = "At least the paper's, as it is rounded." if reached else "Less than the paper's."
        return Row(MAIN, claim, f"{paper:g}", f"{auroc:.3f}", HOLDS if reached else FAILS, why)
    others = {title: row["auroc"] for title, row in sets.items() if "auroc" in row and title != "train"}
    shown = ", ".join(f"{title.replace('_', ' ')} {auroc:.3f}" for title, auroc in others.items())
    why = f"Because ours is of {numbers.dataset} against other images."
    return Row(MAIN, claim, f"{paper:g}", shown or "-", INCOMPARABLE, why)


def _of_composition(numbers: Numbers) -> Row:
    claim = "Trained energies can be put together without further training"
    if numbers.composed is None:
        why = "This experiment names no compose.members; the supplementary tells nothing of compositions."
        return Row(MAIN, claim, "pictures", "-", NOT_RUN, why)
    operation, (whole, *others) = numbers.composed["operation"], numbers.composed["rows"]
    alone = others[: len(numbers.composed["members"])]
    rates = [row["success"] for row in (whole, *alone)]
    if any(rate is None for rate in rates):
        return Row(MAIN, claim, "pictures", "-", OPEN, "Nothing here can tell whether it succeeds.")
    shown = "; ".join(
        f"{row['name']} {rate['rate']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"
        for row, rate in zip((whole, *alone), rates)
    )
    if operation == "or":  # of which each member alone succeeds, too
        limit, why = 0.5, "It holds where most samples have the label of a member, and each label occurs."
        occurs = all(rate["rate"] > 0 for rate in whole["members"])
    else:
        limit, why = (
            max(rate["high"] for rate in rates[1:]),
            "It holds where no member alone succeeds as often.",
        )
        occurs = True
    verdict = HOLDS if rates[0]["low"] > limit and occurs else FAILS if rates[0]["high"] < limit else OPEN
    return Row(MAIN, claim, "pictures", shown, verdict, why)
