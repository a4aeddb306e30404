"""Samples on disk in shards: written batch by batch, and put together without being loaded.

A shard is a folder with `KIND.npy` (uint8 [n, H, W, C]) for each kind of samples and, of MALA, `KIND.acceptance.npy`
(float64 [n]); `shard.json` says which of all samples these are. What is measured of a shard is a folder that has the
same `shard.json`.
"""

from __future__ import annotations

import json
import zipfile
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.errors import MissingInput
from ebm_tf.files import UNREADABLE

BLOCK = 1000  # images that are in memory at a time
CARD = "shard.json"
SUFFIX, ACCEPTANCE = ".npy", ".acceptance.npy"
DRAWING = "DrawSamples"
"""The task that makes shards of samples."""

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
        with (folder / f"{kind}{SUFFIX}").open("wb") as file:
            for number, batch in enumerate(batches):
                if number == 0:
                    _write_head(file, (len(rows), *batch.images.shape[1:]))
                file.write(batch.images.tobytes())
                if batch.acceptance is not None:
                    acceptance.append(batch.acceptance)
        if acceptance:
            np.save(folder / f"{kind}{ACCEPTANCE}", np.concatenate(acceptance))
    write_card(folder, rows)


def write_card(folder: Path, rows: range) -> None:
    """Say that a folder is of the samples of these numbers, and of no others."""
    (folder / CARD).write_text(json.dumps({"first": rows.start, "count": len(rows)}) + "\n", encoding="utf-8")


def open_shard(folder: Path) -> tuple[range, dict[str, Bytes]]:
    """The numbers of the samples of one shard, and the samples by kind, uint8 [n, H, W, C], mapped from files.

    Raises:
        MissingInput: a file cannot be read, or holds something else; or there are none.
    """
    numbers = _numbers(folder)
    paths = [path for path in sorted(folder.glob(f"*{SUFFIX}")) if not path.name.endswith(ACCEPTANCE)]
    if not paths:
        raise _unreadable(folder, "it holds no samples")
    shape = (len(numbers), None, None, None)
    return numbers, {path.stem: _mapped(path, shape, np.uint8) for path in paths}


def shards_among(inputs: Mapping[str, Path]) -> list[Path]:
    """The folders of shards among the inputs of a stage, which knows them as "shard 1", "shard 2" and so on."""
    return [folder for name, folder in inputs.items() if name.startswith("shard ")]


def in_order(folders: Iterable[Path], count: int, task: str) -> list[tuple[range, Path]]:
    """The shards of `count` samples, in the order of their samples, whose numbers are told of each.

    Args:
        folders: that `task` made of them, in any order.

    Raises:
        MissingInput: one cannot be read, or together they are of other samples than those from 0 to count - 1.
    """
    found = sorted(((_numbers(folder, task), folder) for folder in folders), key=lambda pair: pair[0].start)
    if [0, *(numbers.stop for numbers, _ in found)] != [*(numbers.start for numbers, _ in found), count]:
        told = ", ".join(f"{numbers.start} to {numbers.stop - 1}" for numbers, _ in found)
        raise MissingInput(
            f"the shards hold the samples {told}, not 0 to {count - 1}; rebuild them with --force {task}"
        )
    return found


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
        self.shape, self.shards = shape, in_order(folders, shape[0], DRAWING)

    def images(self, kind: str) -> Stacked:
        """The samples of a kind, mapped from their files.

        Raises:
            MissingInput: a file cannot be read, or holds something else.
        """
        return Stacked(
            [
                _mapped(folder / f"{kind}{SUFFIX}", (len(numbers), *self.shape[1:]), np.uint8)
                for numbers, folder in self.shards
            ]
        )

    def acceptance(self, kind: str) -> Shares:
        """Of MALA the share of proposals that each chain accepted, float64 [n]; errors as of `images`."""
        return np.concatenate(
            [
                _mapped(folder / f"{kind}{ACCEPTANCE}", (len(numbers),), np.float64)
                for numbers, folder in self.shards
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


def _numbers(folder: Path, task: str = DRAWING) -> range:
    """Of the samples that a shard is of."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return range(card["first"], card["first"] + card["count"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder / CARD, error, task) from error


def _mapped(path: Path, shape: tuple[Optional[int], ...], dtype: type) -> npt.NDArray:
    """Of a file; in a shape, None is an axis of any length."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    wanted = tuple(own if size is None else size for own, size in zip(array.shape, shape))
    if array.ndim != len(shape) or array.shape != wanted or array.dtype != dtype:
        found = f"it holds {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of {shape}"
        raise _unreadable(path, found)
    return array


def _unreadable(path: Path, reason: object, task: str = DRAWING) -> MissingInput:
    return MissingInput(f"cannot read {path} of a shard: {reason}; rebuild it with --force {task}")
