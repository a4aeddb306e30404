"""ComposeModels: samples of several energies put together, and how many of them are what was asked for.

Beside the composition stand rows that say what its rate means: each member alone, by chains of the same starts and
noise, and the real test images. A member's label is told by the classifier of the data set, or, of digits_stroke, by
the amount of ink that the label stands for; where neither can tell, the rate is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from ebm_tf import config, demands
from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.composition import Flags, Images, ink_classes, rate_of, succeeds
from ebm_tf.evaluation.extractors.classifier import Classifier
from ebm_tf.evaluation.extractors.digests import weights_sha256
from ebm_tf.evaluation.levels import level_of
from ebm_tf.figures import save_rows
from ebm_tf.grey_levels import to_uint8
from ebm_tf.langevin import Energy, chain_settings, chain_temperature
from ebm_tf.models.compose import compose, of_label, shifted
from ebm_tf.models.energy import load_trained
from ebm_tf.sampling import Method, finite, stream_chains, uniform_noise
from ebm_tf.stages.context import Context

INK = "digits_stroke"
"""The data set whose labels say how much ink an image has."""
SHOWN, COMPOSED_ROWS = 20, 4
"""Samples in a row of the picture, and rows of the composition."""

TEST = "real test images"
ASKED = {
    "and": "the labels of all members",
    "or": "the label of a member",
    "not": "the label of the first member and of no other",
}

Judge = Callable[[Images], Flags]
"""Whether each image, uint8 [n, H, W, C], has a member's label."""


class Member(NamedTuple):
    """One energy of the composition, with its level (mean over its own training images) taken away."""

    name: str
    energy: Energy
    level: float
    judge: Optional[Judge]
    weights_sha256: str


class Row(NamedTuple):
    """Chains of one energy; step_scale is a factor on their step size."""

    name: str
    energy: Energy
    step_scale: float


def run(context: Context) -> None:
    settings, own = context.section("compose"), Store(context.inputs["PrepareDataset"])
    classifier = Classifier.open(context.inputs["TrainFeatureExtractor"])
    members = [
        _member(context, number, wanted, own, classifier)
        for number, wanted in enumerate(settings.members, start=1)
    ]
    names = [member.name for member in members]
    energies = [member.energy for member in members]
    composition = compose(settings.operation, energies, settings.temperature, settings.weight)
    rows = [
        Row(titled(settings.operation, names), composition.energy, composition.step_scale),
        *[Row(f"{member.name} alone", member.energy, 1.0) for member in members],
    ]
    samples = _draw(context, rows, own)
    np.savez(context.out / "samples.npz", images=samples[0])
    _write_picture(context, rows, samples)
    judged = [*zip([row.name for row in rows], samples), (TEST, np.asarray(own.images("test")))]
    judges = [member.judge for member in members]
    metrics = {
        "operation": settings.operation,
        "members": names,
        "rows": [{"name": name, **measure(images, settings.operation, judges)} for name, images in judged],
        "protocol": _protocol(context, members, composition.step_scale, classifier),
    }
    context.write_json("metrics.json", metrics)
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


def measure(images: Images, operation: str, judges: Sequence[Judge | None]) -> dict[str, Any]:
    """Shares of images that are what the operation asks for, and that have each member's label.

    A share that nothing can tell is None: a member's without a judge, and with one of those the operation's, too.
    """
    holds = [None if judge is None else judge(images) for judge in judges]
    known = [flags for flags in holds if flags is not None]
    whole = rate_of(succeeds(operation, known))._asdict() if len(known) == len(holds) else None
    each = [None if flags is None else rate_of(flags)._asdict() for flags in holds]
    return {"success": whole, "members": each, "images": len(images)}


def summary(metrics: dict[str, Any]) -> str:
    """The table for people."""
    columns = ["success", *metrics["members"]]
    lines = [f"{'':40}" + "".join(f" {name:>22}" for name in columns) + f" {'images':>7}"]
    for row in metrics["rows"]:
        shares = [_percent(rate) for rate in (row["success"], *row["members"])]
        lines.append(
            f"{row['name']:40}" + "".join(f" {share:>22}" for share in shares) + f" {row['images']:7d}"
        )
    protocol = metrics["protocol"]
    chain = protocol["chain"]
    lines += [
        "",
        f"Success: the image has {ASKED[metrics['operation']]}; in brackets the 95% interval. The other columns: it "
        "has the label of that member.",
        f"Chains of {chain['steps']} steps from noise, step size {chain['step_size']:.4g} times "
        f"{chain['step_scale']:.3g} for the composition, noise {chain['noise_scale']:.4g}; members alone with the "
        "same starts and noise.",
        f"Labels by a classifier that gets {protocol['extractor']['test_accuracy']:.1%} of the test images right"
        f"{', or by amount of ink' if INK in protocol['datasets'] else ''}.",
    ]
    if metrics["operation"] == "or":
        lines.append(
            f"Temperature {protocol['temperature']:.4g}; to bring the members to one level, the mean energy of their "
            f"training images is taken away: {', '.join(format(level, '.4g') for level in protocol['levels'])}."
        )
    return "\n".join(lines) + "\n"


def _write_picture(context: Context, rows: Sequence[Row], samples: Sequence[Images]) -> None:
    """The first samples of the composition in some rows, of each member alone in one."""
    parts = [samples[0][first : first + SHOWN] for first in range(0, SHOWN * COMPOSED_ROWS, SHOWN)]
    parts = [part for part in parts if len(part)]
    titles = [rows[0].name, *[""] * (len(parts) - 1), *[row.name for row in rows[1:]]]
    save_rows([*parts, *[images[:SHOWN] for images in samples[1:]]], context.out / "samples.png", titles)


def titled(operation: str, names: Sequence[str]) -> str:
    """Such as "digits 3 or digits 5"."""
    return f" {operation} ".join(names)


def _percent(rate: dict[str, float] | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate['rate']:.1%} ({rate['low']:.1%}-{rate['high']:.1%})"


def _member(
    context: Context, number: int, wanted: config.Member, own: Store, classifier: Classifier
) -> Member:
    model = load_trained(context.inputs[f"member {number}"])
    store = Store(context.inputs[f"member {number} data"])
    demands.member_fits(number, wanted.label, model.classes, model.image_shape, own.manifest.shape)
    label = wanted.label
    energy = model if label is None else of_label(model, label)
    level = level_of(energy, store, label)
    name = (
        store.manifest.dataset
        if label is None
        else f"{store.manifest.dataset} {store.manifest.classes[label]}"
    )
    judge = None if label is None else _judge(label, store, own, classifier)
    return Member(name, shifted(energy, level), level, judge, weights_sha256(model))


def _judge(label: int, store: Store, own: Store, classifier: Classifier) -> Judge | None:
    manifest = store.manifest
    if manifest.dataset == INK:
        rule = ink_classes(store.images("train"), store.labels("train"), manifest.levels)
        return lambda images: np.asarray(rule(images) == label)
    if (manifest.dataset, manifest.classes) == (own.manifest.dataset, own.manifest.classes):
        return lambda images: np.asarray(classifier.predicted(images) == label)
    return None


def _draw(context: Context, rows: Sequence[Row], own: Store) -> list[Images]:
    """Samples of each row, uint8 [count, H, W, C], by chains of the same starts and noise."""
    settings, shape = context.section("compose"), own.manifest.shape
    seed = config.seed_of_samples(context.section("sampling"), context.section("seed"))
    chain, batch_size = _chain(context), context.section("sampling").batch_size
    samples = []
    for number, row in enumerate(rows):

        def report(done: int, total: int, number: int = number, row: Row = row) -> None:
            context.progress(number * total + done, len(rows) * total, row.name)

        method = Method(chain_settings(**{**chain, "step_size": chain["step_size"] * row.step_scale}))
        batches = stream_chains(
            row.energy,
            lambda first, count: uniform_noise(first, count, shape, seed),
            settings.count,
            method,
            seed,
            batch_size,
            report,
        )
        samples.append(
            np.concatenate(
                [
                    to_uint8(finite(batch.images, f"samples of {row.name}"), own.manifest.levels)
                    for batch in batches
                ]
            )
        )
    return samples


def _chain(context: Context) -> dict[str, Any]:
    """The arguments of `chain_settings`, before an operation scales the step size."""
    sampling, langevin = context.section("sampling"), context.section("langevin")
    step_size, noise_scale = config.chain_of_samples(sampling, langevin)
    return {
        "steps": context.section("compose").steps or sampling.steps,
        "step_size": step_size,
        "noise_scale": noise_scale,
        "anneal": langevin.anneal,
        "gradient_clip": langevin.gradient_clip,
    }


def _protocol(
    context: Context, members: Sequence[Member], step_scale: float, classifier: Classifier
) -> dict[str, Any]:
    settings, chain = context.section("compose"), _chain(context)
    numbers = range(1, len(members) + 1)
    return {
        "chain": {
            **chain,
            "step_scale": step_scale,
            "seed": config.seed_of_samples(context.section("sampling"), context.section("seed")),
        },
        "chain_temperature": chain_temperature(chain["step_size"], chain["noise_scale"]),
        "temperature": settings.temperature,
        "weight": settings.weight,
        "levels": [member.level for member in members],
        "weights": {"which": "average (EMA)", "sha256": [member.weights_sha256 for member in members]},
        "datasets": [Store(context.inputs[f"member {number} data"]).manifest.dataset for number in numbers],
        "extractor": {
            "name": classifier.identity.name,
            "sha256": classifier.identity.sha256,
            "test_accuracy": classifier.test_accuracy,
        },
        "interval": "Wilson, 95%",
    }
