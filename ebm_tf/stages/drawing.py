"""What samples are drawn from, and how: for DrawSamples, which draws some, and GenerateSamples, which has all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf

from ebm_tf.config import seed_of_samples
from ebm_tf.datasets.store import Manifest, Store
from ebm_tf.demands import chains_can_be_drawn, wanted_labels
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.grey_levels import to_uint8
from ebm_tf.models.energy import load_energy_model
from ebm_tf.replay import dequantise
from ebm_tf.sampling import (
    Kind,
    Method,
    Report,
    Rounds,
    Starts,
    Use,
    chain_seed,
    finite,
    stream_chains,
    uniform_noise,
)
from ebm_tf.sampling_settings import method_of
from ebm_tf.shards import Drawn, write_shard
from ebm_tf.stages.context import Context

WEIGHTS = {"average": "average (EMA)", "best": "average (EMA), at the step that selection found best"}


class Plan(NamedTuple):
    """One kind of chains: where they start and how they move; labels int32 [n] of a conditional model."""

    kind: Kind
    starts: Starts
    method: Method
    labels: Optional[np.ndarray]


class Chains:
    """The energy model, of which samples are ends of chains.

    Attributes:
        titles: of the kinds of samples, for people.
        weights: of the model, for people.
        plans: one of each kind.
    """

    titles: ClassVar = {"fresh": "EBM, fresh chains from noise", "buffer": "EBM, chains from the buffer"}

    def __init__(self, context: Context) -> None:
        self.settings = context.section("sampling")
        self.seed = seed_of_samples(self.settings, context.section("seed"))
        self.manifest = Store(context.inputs["PrepareDataset"]).manifest
        self.weights = WEIGHTS[self.settings.weights]
        file = context.inputs["TrainEBM"] / f"{self.settings.weights}.weights.h5"
        classes = len(self.manifest.classes)
        self.model = load_energy_model(context.section("model"), self.manifest.shape, file, classes)
        self.plans = self._plans(context)

    def told(self, kind: str) -> str:
        """What is being drawn."""
        return f"steps of {kind} chains"

    def work(self, kind: str) -> int:
        """Of one sample: Langevin steps."""
        return max(int(self.plans[kind].method.chain.steps), 1)

    def draw(self, kind: str, rows: range, report: Report) -> Iterator[Drawn]:
        """The samples of these numbers, batch by batch.

        Raises:
            EBMError: a chain diverged.
        """
        plan = self.plans[kind]
        batches = stream_chains(
            self.model,
            plan.starts,
            len(rows),
            plan.method,
            self.seed,
            self.settings.batch_size,
            report,
            plan.labels,
            plan.kind,
            rows.start,
        )
        for batch in batches:
            yield Drawn(to_uint8(finite(batch.images, "samples"), self.manifest.levels), batch.acceptance)

    def _plans(self, context: Context) -> dict[str, Plan]:
        settings, langevin, shape = self.settings, context.section("langevin"), self.manifest.shape
        augmented = settings.augment_every is not None and context.section("augmentation").active
        chains_can_be_drawn(settings, langevin, augmented)
        wanted = np.asarray(wanted_labels(settings.labels, self.model.classes), np.int32)
        fresh, buffer = (
            method_of(settings, langevin, steps)._replace(lanes=context.compute.lanes)
            for steps in (settings.steps, settings.buffer_steps)
        )
        if settings.augment_every is not None:
            fresh = fresh._replace(rounds=_rounds(context, settings.augment_every, self.manifest))

        def noise(first: int, count: int) -> tf.Tensor:
            return uniform_noise(first, count, shape, self.seed)

        stored, stored_labels = _stored_chains(context, wanted)
        chosen = _choose(len(stored), settings.count, self.seed)
        pixel_seed = chain_seed(self.seed, Use.START, Kind.REFINED)

        def from_buffer(first: int, count: int) -> tf.Tensor:
            return dequantise(tf.constant(stored[chosen[first : first + count]]), pixel_seed, first=first)

        conditional = bool(self.model.classes)
        in_turn = np.resize(wanted, settings.count) if conditional else None
        return {
            "fresh": Plan(Kind.FRESH, noise, fresh, in_turn),
            "buffer": Plan(Kind.REFINED, from_buffer, buffer, stored_labels[chosen] if conditional else None),
        }


class Baseline:
    """The SNGAN; attributes and methods as of `Chains`."""

    titles: ClassVar = {"fresh": "SNGAN"}

    def __init__(self, context: Context) -> None:
        self.settings = context.section("sampling")
        self.seed = seed_of_samples(self.settings, context.section("seed"))
        self.manifest = Store(context.inputs["PrepareDataset"]).manifest
        self.weights = context.read_json("TrainSNGAN", "sngan.json")["weights"]
        self._network, self._folder = context.section("sngan"), context.inputs["TrainSNGAN"]

    def told(self, kind: str) -> str:
        """What is being drawn."""
        return "images of the baseline"

    def work(self, kind: str) -> int:
        """Of one sample."""
        return 1

    def draw(self, kind: str, rows: range, report: Report) -> Iterator[Drawn]:
        """The samples of these numbers, batch by batch."""
        from ebm_tf.baselines.sngan import generate, load_generator

        generator = load_generator(self._network, self.manifest.shape, self._folder)
        for images in generate(generator, len(rows), self.seed, self.settings.batch_size, report, rows.start):
            yield Drawn(to_uint8(finite(images, "samples"), self.manifest.levels))


Source = Union[Chains, Baseline]
"""What samples are drawn from."""


def source_of(context: Context) -> Source:
    """The one that the settings name (sampling.source)."""
    return Baseline(context) if context.section("sampling").source == "sngan" else Chains(context)


def draw_shard(context: Context, source: Source, rows: range, folder: Path) -> None:
    """Write the samples of these numbers, of all kinds, and tell the context how far it is."""
    work = {kind: len(rows) * source.work(kind) for kind in source.titles}

    def kinds() -> Iterator[tuple[str, Iterator[Drawn]]]:
        before = 0
        for kind in source.titles:

            def report(done: int, of_kind: int, before: int = before, kind: str = kind) -> None:
                context.progress(before + done, sum(work.values()), source.told(kind))

            yield kind, source.draw(kind, rows, report)
            before += work[kind]

    write_shard(folder, rows, kinds())


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
