"""Drawing images from a trained model: many chains, in batches, by a seed.

Chain i of a seed starts from, moves by and is augmented by random numbers that depend on (seed, i) and the number
of the step alone. So neither the batch size nor the portions in which a chain is run change what is drawn, beyond the
last bits in which convolutions of other batch sizes may differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from enum import IntEnum
from typing import Any, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from ebm_tf import mala
from ebm_tf.datasets.store import NO_LABEL
from ebm_tf.devices import parts
from ebm_tf.eager import int32
from ebm_tf.errors import ChainsDiverged
from ebm_tf.langevin import Chain, Energy, langevin, row_noise
from ebm_tf.noise import uniform_rows

PORTION_SECONDS = 2.0
"""About how long chains run between two reports."""

Report = Callable[[int, int], None]
"""Is told the Langevin steps done and those in all, summed over chains."""
Starts = Callable[[int, int], Any]
"""Number of the first chain and how many, to where they start: float32 [count, H, W, C] in [0, 1]."""


class Kind(IntEnum):
    """Which chains of a seed: from noise, from given images, from noise while training is going on.

    Each kind has random numbers of its own.
    """

    FRESH = 0
    REFINED = 1
    SELECTION = 2


class Use(IntEnum):
    """What random numbers are for."""

    START = 0
    NOISE = 1
    CHANCE = 2
    AUGMENT = 3


class Rounds(NamedTuple):
    """Chains that are augmented after every so many steps but the last, as the authors' evaluation does.

    augment: (images, seed, number of the first chain) to images, such as `augment.Augmenter`.
    """

    every: int
    augment: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class Method(NamedTuple):
    """How chains move: by Langevin steps, or by MALA where a temperature (float32 scalar) is given.

    lanes: parts of a batch whose chains run side by side; it changes them by no more than rounding.
    """

    chain: Chain
    temperature: Optional[tf.Tensor] = None
    rounds: Optional[Rounds] = None
    lanes: int = 1


class Batch(NamedTuple):
    """Ends of the chains from number `first` on: images float32 [n, H, W, C]; of MALA, the share accepted [n]."""

    first: int
    images: np.ndarray
    acceptance: Optional[np.ndarray]


def chain_seed(seed: Any, use: Use, kind: Kind) -> tf.Tensor:
    """The seed (int32 [2]) of one use of random numbers; `seed` is an int32 scalar.

    Folding in leaves the number that is folded in as it is, and the number of a step is added to it later: hence the
    split, without which one kind would meet the noise of another a step later.
    """
    of_use = tf.random.experimental.stateless_fold_in(tf.stack([seed, int(use)]), int(kind))
    return tf.random.experimental.stateless_split(of_use, 1)[0]


def uniform_noise(first: Any, count: Any, image_shape: Sequence[int], seed: Any) -> tf.Tensor:
    """Starts of the fresh chains first .. first + count - 1, float32 [count, H, W, C] uniform in [0, 1)."""
    return uniform_rows(first, count, image_shape, chain_seed(seed, Use.START, Kind.FRESH))


def chain_noise(first: Any, count: Any, image_shape: Sequence[int], seed: Any, kind: Kind) -> Any:
    """The `Noise` of the chains first .. first + count - 1."""
    return row_noise(first, count, image_shape, chain_seed(seed, Use.NOISE, kind))


def begin(energy: Energy, images: tf.Tensor, method: Method) -> Any:
    """The state of chains at their start, `images` in [0, 1]: these images, or of MALA a `mala.State`."""
    return images if method.temperature is None else mala.begin(energy, images, method.chain)


def advance(
    energy: Energy,
    state: Any,
    rows: tuple[Any, Any],
    method: Method,
    seed: Any,
    kind: Kind,
    first: Any = 0,
    end: Any = None,
) -> Any:
    """The state of chains after the steps first .. end - 1 (by default all), with no augmentation in between.

    Args:
        energy: of the images of these chains.
        state: as of `begin`, or of an earlier call that ended where this one begins.
        rows: number of the first chain, and how many there are: int32 scalars, tensors or not.
    """
    image_shape = tuple(images_of(state, method).shape[1:])
    noise = chain_noise(*rows, image_shape, seed, kind)
    if method.temperature is None:
        return langevin(energy, state, noise, method.chain, first, end)
    chance_seed = chain_seed(seed, Use.CHANCE, kind)

    def chances(k: tf.Tensor) -> tf.Tensor:
        return uniform_rows(*rows, (), chance_seed + tf.stack([0, k]))

    return mala.mala(energy, state, noise, chances, method.chain, method.temperature, first, end)


def images_of(state: Any, method: Method) -> tf.Tensor:
    """Where chains stand."""
    return state if method.temperature is None else state.images


def stream_chains(
    energy: Any,
    starts: Starts,
    count: int,
    method: Method,
    seed: int,
    batch_size: int,
    report: Report,
    labels: np.ndarray | None = None,
    kind: Kind = Kind.FRESH,
    first: int = 0,
) -> Iterator[Batch]:
    """The independent chains first .. first + count - 1, batch by batch; no more than one batch is held at a time.

    Args:
        energy: of images, or of (images, labels) where there are labels. Where it has `kernels_computed_once`, steps
            are made within that.
        starts: where chains start.
        count: chains to run.
        seed: 0 .. 2^31 - 1; chain i has random numbers of its own that follow from (seed, kind, i).
        batch_size: chains side by side (the last batch may be smaller).
        report: called every few seconds, and once at the end of each batch.
        labels: of the chains from number 0 on, int32 [first + count] or more.
        first: number of the first chain. Where it is a multiple of the batch size, the batches, and so the bits of
            all images, are the same as if the chains before it had been run as well.
    """
    chains: Runner | None = None
    steps, portion = int(method.chain.steps), 1
    total = count * max(steps, 1)
    for row in range(first, first + count, batch_size):
        size = min(batch_size, first + count - row)
        images = tf.convert_to_tensor(starts(row, size), tf.float32)
        chains = chains or Runner(energy, images.shape[1:], method, seed, kind, labels)
        state, done = chains.begin(images, row), 0
        while done < steps:
            end, began = min(done + portion, steps), time.monotonic()
            state, done = chains.advance(state, row, done, end), end
            portion = _next_portion(portion, time.monotonic() - began)
            if done < steps:
                report((row - first) * steps + size * done, total)
        yield Batch(row, chains.images(state).numpy(), chains.acceptance(state))
        report((row - first + size) * max(steps, 1), total)


def film(
    energy: Any,
    start: np.ndarray,
    method: Method,
    seed: int,
    frames: int,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Fresh chains on their way: [frames, n, H, W, C], the first frame their start and the last their end.

    Frames stand ever further apart, since chains move most at first; of short chains there are fewer.
    """
    steps = int(method.chain.steps)
    shown = np.unique(np.geomspace(steps, 1, frames - 1).round().astype(int))
    chains = Runner(energy, start.shape[1:], method, seed, Kind.FRESH, labels)
    state, strip = chains.begin(tf.constant(start), 0), [start]
    for done, end in zip((0, *shown), shown):
        state = chains.advance(state, 0, int(done), int(end))
        strip.append(chains.images(state).numpy())
    return np.stack(strip)


class Runner:
    """Chains of one seed and kind, compiled once for batches of any size; arguments as of `stream_chains`.

    A state is the images of Langevin chains, or a `mala.State`.
    """

    def __init__(
        self,
        energy: Any,
        image_shape: Sequence[int],
        method: Method,
        seed: int,
        kind: Kind,
        labels: np.ndarray | None,
    ) -> None:
        self.energy, self.image_shape, self.method = energy, tuple(image_shape), method
        self.seed, self.kind = seed, kind
        self.labels = labels
        images, number = tf.TensorSpec([None, *image_shape], tf.float32), tf.TensorSpec([], tf.int32)
        each, count = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)
        state = images if method.temperature is None else mala.State(images, each, images, count)
        self._begin = tf.function(self._started, input_signature=[images, count])
        self._advance = tf.function(self._steps, input_signature=[state, count, number, number, number])
        self._augment = tf.function(self._augmented, input_signature=[images, number, number])

    def begin(self, images: tf.Tensor, row: int) -> Any:
        """The state of the chains from number `row` on at their start."""
        return self._begin(images, self._labels(row, len(images)))

    def advance(self, state: Any, row: int, first: int, end: int) -> Any:
        """The state after the steps first .. end - 1, with what is to be done after each round."""
        rounds, steps = self.method.rounds, int(self.method.chain.steps)
        labels = self._labels(row, len(self.images(state)))
        while first < end:
            stop = end if rounds is None else min(end, (first // rounds.every + 1) * rounds.every)
            state = self._advance(state, labels, *map(int32, (row, first, stop)))
            if rounds is not None and stop % rounds.every == 0 and stop < steps:
                state = self._augment(state, int32(row), int32(stop))
            first = stop
        self.images(state)[0, 0, 0, 0].numpy()  # waits for the device, so that clocks are true
        return state

    def images(self, state: Any) -> tf.Tensor:
        """Where the chains stand."""
        return images_of(state, self.method)

    def acceptance(self, state: Any) -> np.ndarray | None:
        """Share of proposals that each chain accepted over all its steps; None of Langevin chains."""
        if self.method.temperature is None:
            return None
        return state.accepted.numpy() / max(int(self.method.chain.steps), 1)

    def _started(self, images: tf.Tensor, labels: tf.Tensor) -> Any:
        return begin(self._energy_for(labels), images, self.method)

    def _steps(self, state: Any, labels: tf.Tensor, row: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> Any:
        ends = []
        with getattr(self.energy, "kernels_computed_once", nullcontext)():
            for ahead, count in parts(tf.shape(labels)[0], self.method.lanes):
                rows = slice(ahead, ahead + count)
                part = tf.nest.map_structure(lambda values, rows=rows: values[rows], state)
                energy, numbers = self._energy_for(labels[rows]), (row + ahead, count)
                ends.append(advance(energy, part, numbers, self.method, self.seed, self.kind, first, end))
        return ends[0] if len(ends) == 1 else tf.nest.map_structure(lambda *each: tf.concat(each, 0), *ends)

    def _augmented(self, images: tf.Tensor, row: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        assert self.method.rounds is not None
        seed = chain_seed(self.seed, Use.AUGMENT, self.kind) + tf.stack([0, step])
        return self.method.rounds.augment(images, seed, row)

    def _energy_for(self, labels: tf.Tensor) -> Energy:
        return self.energy if self.labels is None else lambda images: self.energy(images, labels)

    def _labels(self, row: int, count: int) -> tf.Tensor:
        chosen = np.full(count, NO_LABEL) if self.labels is None else self.labels[row : row + count]
        return tf.constant(chosen, tf.int32)


def broken_images(images: np.ndarray) -> int:
    """How many of the images have pixels that are not numbers."""
    return int((~np.isfinite(images).reshape(len(images), -1).all(axis=1)).sum())


def finite(images: np.ndarray, what: str) -> np.ndarray:
    """The images, if all their pixels are numbers.

    Raises:
        ChainsDiverged: some are not.
    """
    if broken := broken_images(images):
        raise ChainsDiverged(
            f"{broken} of {len(images)} {what} have pixels that are not numbers: their chains diverged; lower "
            "sampling.step_size, set langevin.gradient_clip, or train the model again"
        )
    return images


def _next_portion(steps: int, seconds: float) -> int:
    """How many steps to take next, so that they last about `PORTION_SECONDS`; the first ones compile, too."""
    return max(1, min(2 * steps, int(steps * PORTION_SECONDS / max(seconds, 1e-6))))
