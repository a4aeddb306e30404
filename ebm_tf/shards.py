"""Samples on disk in shards: written batch by batch, and put together without being loaded.

A shard is a folder with `KIND.npy` (uint8 [n, H, W, C]) for each kind of samples and, of MALA, `KIND.acceptance.npy`
(float64 [n]); `shard.json` says which of all samples these are.
"""

from __future__ import annotations

import json
import zipfile
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.errors import MissingInput
from ebm_tf.files import UNREADABLE

BLOCK = 1000  # images that are in memory at a time
CARD = "shard.json"

Bytes = npt.NDArray[np.uint8]
Shares = npt.NDArray[np.float64]


class Drawn(NamedTuple):
    """A batch of samples, uint8 [n, H, W, C]; of MALA also the share of proposals that each chain accepted, [n]."""

    images: Bytes
    acceptance: Optional[Shares] = None


def write_shard(folder: Path, rows: range, kinds: Iterable[tuple[str, Iterable[Drawn]]]) -> None:
    """Write the samples of these numbers: of each kind its name, and batches that hold one for each number."""
    for kind, batches in kinds:
        acceptance = []
        with (folder / f"{kind}.npy").open("wb") as file:
            for number, batch in enumerate(batches):
                if number == 0:
                    _write_head(file, (len(rows), *batch.images.shape[1:]))
                file.write(batch.images.tobytes())
                if batch.acceptance is not None:
                    acceptance.append(batch.acceptance)
        if acceptance:
            np.save(folder / f"{kind}.acceptance.npy", np.concatenate(acceptance))
    (folder / CARD).write_text(json.dumps({"first": rows.start, "count": len(rows)}) + "\n", encoding="utf-8")


class Stacked:
    """Images of several arrays (of memory, or mapped from files) as one, uint8 [n, H, W, C]."""

    def __init__(self, parts: Sequence[Bytes]) -> None:
        self.parts = parts
        self.starts = [0, *accumulate(map(len, parts))]
        self.shape: tuple[int, ...] = (self.starts[-1], *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.starts[-1]

    def blocks(self) -> Iterator[Bytes]:
        """All images, some at a time."""
        for part in self.parts:
            for first in range(0, len(part), BLOCK):
                yield np.asarray(part[first : first + BLOCK])

    def take(self, numbers: Sequence[int] | npt.NDArray[np.int64]) -> Bytes:
        """The images of these numbers, one at least."""
        places = [(bisect(self.starts, number) - 1, number) for number in numbers]
        return np.stack([self.parts[part][number - self.starts[part]] for part, number in places])


class Shards:
    """All the samples, put together from shards.

    Args:
        folders: in any order.
        shape: of the samples of a kind, (n, height, width, channels).

    Raises:
        MissingInput: a shard cannot be read, or together they hold other samples than those from 0 to n - 1.
    """

    def __init__(self, folders: Iterable[Path], shape: tuple[int, ...]) -> None:
        self.shape = shape
        found = sorted(((_numbers(folder), folder) for folder in folders), key=lambda pair: pair[0].start)
        self.numbers, self.folders = [numbers for numbers, _ in found], [folder for _, folder in found]
        if [0, *(held.stop for held in self.numbers)] != [*(held.start for held in self.numbers), shape[0]]:
            told = ", ".join(f"{held.start} to {held.stop - 1}" for held in self.numbers)
            raise MissingInput(
                f"the shards hold the samples {told}, not 0 to {shape[0] - 1}; rebuild them with --force DrawSamples"
            )

    def images(self, kind: str) -> Stacked:
        """The samples of a kind, mapped from their files.

        Raises:
            MissingInput: a file cannot be read, or holds something else.
        """
        return Stacked(
            [
                _mapped(folder / f"{kind}.npy", (len(numbers), *self.shape[1:]), np.uint8)
                for numbers, folder in zip(self.numbers, self.folders)
            ]
        )

    def acceptance(self, kind: str) -> Shares:
        """Of MALA the share of proposals that each chain accepted, float64 [n]; errors as of `images`."""
        return np.concatenate(
            [
                _mapped(folder / f"{kind}.acceptance.npy", (len(numbers),), np.float64)
                for numbers, folder in zip(self.numbers, self.folders)
            ]
        )


def save_npz(path: Path, images: Stacked, labels: npt.NDArray[np.int32] | None) -> None:
    """The file that `np.savez` writes of `images` and, where there are some, `labels`, byte by byte."""
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            _write_head(file, images.shape)
            for block in images.blocks():
                file.write(block.tobytes())
        if labels is not None:
            with archive.open("labels.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, labels, allow_pickle=False)


def _write_head(file: IO[bytes], shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _numbers(folder: Path) -> range:
    """Of the samples that a shard holds."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return range(card["first"], card["first"] + card["count"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder / CARD, error) from error


def _mapped(path: Path, shape: tuple[int, ...], dtype: type) -> npt.NDArray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if array.shape != shape or array.dtype != dtype:
        found = f"it holds {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of {shape}"
        raise _unreadable(path, found)
    return array


def _unreadable(path: Path, reason: object) -> MissingInput:
    return MissingInput(f"cannot read {path} of a shard: {reason}; rebuild it with --force DrawSamples")
