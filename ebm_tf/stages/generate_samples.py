"""GenerateSamples: images of the model that is judged, with its averaged weights.

Of the energy model two kinds: `fresh`, chains from uniform noise, and `buffer`, chains from the replay buffer. Of the
SNGAN baseline (sampling.source) one, `fresh`. For each kind there are KIND.npz (images uint8; of conditional models
also labels), KIND.json and KIND.png; samples.json lists the kinds. Of chains also film.png, some on their way, and of
conditional models classes.png, a row of fresh samples of each class.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from ebm_tf.config import Sampling, seed_of_samples
from ebm_tf.datasets.store import Manifest, Store
from ebm_tf.demands import chains_can_be_drawn, wanted_labels
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.figures import save_film, save_grid, save_rows
from ebm_tf.grey_levels import to_uint8
from ebm_tf.models.energy import EnergyModel, load_energy_model
from ebm_tf.replay import dequantise
from ebm_tf.sampling import (
    Kind,
    Method,
    Rounds,
    Starts,
    Use,
    chain_seed,
    film,
    finite,
    stream_chains,
    uniform_noise,
)
from ebm_tf.sampling_settings import describe_chain, method_of
from ebm_tf.stages.context import Context

TITLES = {"fresh": "EBM, fresh chains from noise", "buffer": "EBM, chains from the buffer"}
WEIGHTS = {"average": "average (EMA)", "best": "average (EMA), at the step that selection found best"}
CLASS_ROWS, CLASS_COLUMNS = 100, 10  # of classes.png, at most


class Plan(NamedTuple):
    """One kind of samples: where its chains start and how they move; labels int32 [n] of a conditional model."""

    kind: Kind
    starts: Starts
    method: Method
    labels: Optional[np.ndarray]


def run(context: Context) -> None:
    if context.section("sampling").source == "sngan":
        _from_baseline(context)
    else:
        _from_chains(context)


def _from_chains(context: Context) -> None:
    settings = context.section("sampling")
    seed = seed_of_samples(settings, context.section("seed"))
    manifest = Store(context.inputs["PrepareDataset"]).manifest
    weights = context.inputs["TrainEBM"] / f"{settings.weights}.weights.h5"
    model = load_energy_model(context.section("model"), manifest.shape, weights, len(manifest.classes))
    plans = _plans(context, model, manifest, seed)
    work = {name: settings.count * max(int(plan.method.chain.steps), 1) for name, plan in plans.items()}
    done, kinds, drawn = 0, {}, {}
    for name, plan in plans.items():

        def report(now: int, of_kind: int, before: int = done, name: str = name) -> None:
            context.progress(before + now, sum(work.values()), f"{name} chains")

        drawn[name], acceptance = _draw(model, plan, settings, manifest, seed, report)
        chain = describe_chain(plan.method, seed, acceptance)
        kinds[name] = _write(context, name, TITLES[name], drawn[name], plan.labels, chain)
        done += work[name]
    context.write_json("samples.json", {"weights": WEIGHTS[settings.weights], "kinds": kinds})
    _write_film(context, model, plans["fresh"], manifest, seed)
    if (labels := plans["fresh"].labels) is not None:
        _write_classes(context, drawn["fresh"], labels, manifest)


def _plans(context: Context, model: EnergyModel, manifest: Manifest, seed: int) -> dict[str, Plan]:
    settings, langevin = context.section("sampling"), context.section("langevin")
    augmented = settings.augment_every is not None and context.section("augmentation").active
    chains_can_be_drawn(settings, langevin, augmented)
    wanted = np.asarray(wanted_labels(settings.labels, model.classes), np.int32)
    fresh = method_of(settings, langevin, settings.steps)
    buffer = method_of(settings, langevin, settings.buffer_steps)
    if settings.augment_every is not None:
        fresh = fresh._replace(rounds=_rounds(context, settings.augment_every, manifest))

    def noise(first: int, count: int) -> tf.Tensor:
        return uniform_noise(first, count, manifest.shape, seed)

    stored, stored_labels = _stored_chains(context, wanted)
    chosen = _choose(len(stored), settings.count, seed)
    pixel_seed = chain_seed(seed, Use.START, Kind.REFINED)

    def from_buffer(first: int, count: int) -> tf.Tensor:
        return dequantise(tf.constant(stored[chosen[first : first + count]]), pixel_seed, first=first)

    conditional = bool(model.classes)
    in_turn = np.resize(wanted, settings.count) if conditional else None
    return {
        "fresh": Plan(Kind.FRESH, noise, fresh, in_turn),
        "buffer": Plan(Kind.REFINED, from_buffer, buffer, stored_labels[chosen] if conditional else None),
    }


def _stored_chains(context: Context, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 and labels of the replay buffer: all, or of a conditional model those of the wanted classes."""
    path = context.inputs["TrainEBM"] / "replay.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise MissingInput(f"cannot read the replay buffer {path}: {error}; run TrainEBM again") from error
    if not len(wanted):
        return images, labels
    kept = np.isin(labels, wanted)
    if not kept.any():
        raise EBMError(
            f"the replay buffer has no chain of the classes {wanted.tolist()}; it has "
            f"{np.unique(labels).tolist()}, choose among them by sampling.labels"
        )
    return images[kept], labels[kept]


def _choose(stored: int, count: int, seed: int) -> np.ndarray:
    """Which stored images chains start from: different ones as far as there are enough."""
    return np.random.default_rng([seed, 1]).choice(stored, count, replace=count > stored)


def _rounds(context: Context, every: int, manifest: Manifest) -> Rounds:
    from ebm_tf.augment import Augmenter

    return Rounds(every, Augmenter(context.section("augmentation"), manifest.shape))


def _draw(
    model: EnergyModel, plan: Plan, settings: Sampling, manifest: Manifest, seed: int, report: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images uint8 of all chains, and of MALA the share of proposals that each accepted."""
    images = np.empty((settings.count, *manifest.shape), np.uint8)
    acceptance = None if plan.method.temperature is None else np.empty(settings.count)
    batches = stream_chains(
        model,
        plan.starts,
        settings.count,
        plan.method,
        seed,
        settings.batch_size,
        report,
        plan.labels,
        plan.kind,
    )
    for batch in batches:
        rows = slice(batch.first, batch.first + len(batch.images))
        images[rows] = to_uint8(finite(batch.images, "samples"), manifest.levels)
        if acceptance is not None:
            acceptance[rows] = batch.acceptance
    return images, acceptance


def _from_baseline(context: Context) -> None:
    from ebm_tf.baselines.sngan import generate, load_generator

    settings = context.section("sampling")
    seed = seed_of_samples(settings, context.section("seed"))
    manifest = Store(context.inputs["PrepareDataset"]).manifest
    folder = context.inputs["TrainSNGAN"]
    generator = load_generator(context.section("sngan"), manifest.shape, folder)

    def report(done: int, total: int) -> None:
        context.progress(done, total, "images of the baseline")

    drawn = generate(generator, settings.count, seed, settings.batch_size, report)
    kinds = {"fresh": _write(context, "fresh", "SNGAN", to_uint8(finite(drawn, "samples"), manifest.levels))}
    weights = context.read_json("TrainSNGAN", "sngan.json")["weights"]
    context.write_json("samples.json", {"weights": weights, "kinds": kinds})


def _write(
    context: Context,
    name: str,
    title: str,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    chain: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The files of one kind; returns what its JSON says."""
    if (images == images[0]).all():
        raise EBMError(f"all {len(images)} {name} samples are the same image: the model has collapsed")
    np.savez(context.out / f"{name}.npz", images=images, **({} if labels is None else {"labels": labels}))
    card = {"title": title, "images": len(images), **({} if chain is None else {"chain": chain})}
    context.write_json(f"{name}.json", card)
    save_grid(images[:100], context.out / f"{name}.png", columns=20)
    return card


def _write_film(context: Context, model: EnergyModel, plan: Plan, manifest: Manifest, seed: int) -> None:
    settings = context.section("sampling")
    count = min(settings.film_chains, settings.count)
    labels = None if plan.labels is None else plan.labels[:count]
    strip = film(model, np.asarray(plan.starts(0, count)), plan.method, seed, settings.film_frames, labels)
    save_film(to_uint8(finite(strip, "pictures of chains"), manifest.levels), context.out / "film.png")


def _write_classes(context: Context, images: np.ndarray, labels: np.ndarray, manifest: Manifest) -> None:
    """A row for each class that was drawn, of its first samples."""
    shown = np.unique(labels)[:CLASS_ROWS]
    rows = [images[labels == label][:CLASS_COLUMNS] for label in shown]
    save_rows(rows, context.out / "classes.png", [manifest.classes[label] for label in shown])
