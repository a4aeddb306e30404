"""Features on disk while they are being made: what a kill at any moment leaves can be gone on with.

Rows go to the arrays first, then `progress.json` says how many images they are of, and the sha256 of these images. It
is replaced as a whole, so it never promises rows that were not written; rows beyond it are cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebm_tf.errors import EBMError

BEGUN, PROGRESS = "begun.json", "progress.json"
FLOAT = "<f4"


class GrowingFeatures:
    """Arrays of the features of `begun["images"]` images, filled from the first image to the last.

    Attributes:
        done: images whose rows are there.
        images_sha256: of these images, as `ImagesDigest` has it.

    Args:
        folder: gone on with where it holds some of the same; otherwise emptied, or made.
        widths: numbers in a row of each array, by the name of its file.
        begun: JSON that tells what the features are of; with `images`, their number.
    """

    def __init__(self, folder: Path, widths: Mapping[str, int], begun: dict[str, Any]) -> None:
        self.folder, self.begun = folder, begun
        self.shapes = {name: (int(begun["images"]), width) for name, width in widths.items()}
        try:
            self._take_up()
        except (OSError, ValueError, KeyError, TypeError):  # nothing there, something else, or damaged
            self.start_over()

    def start_over(self) -> None:
        """Forget all that was done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        write_json(self.folder / BEGUN, self.begun)
        self.arrays = self._open()
        self.done, self.images_sha256 = 0, ""

    def append(self, rows: Mapping[str, npt.NDArray[np.float32]], images_sha256: str) -> None:
        """The next rows of every array, and the sha256 of all images up to these."""
        for name, array in self.arrays.items():
            array.append(rows[name])
        self.done += len(next(iter(rows.values())))
        self.images_sha256 = images_sha256
        write_json(self.folder / PROGRESS, {"images": self.done, "sha256": images_sha256})

    def _open(self) -> dict[str, GrowingArray]:
        return {name: GrowingArray(self.folder / name, shape) for name, shape in self.shapes.items()}

    def _take_up(self) -> None:
        """Raises one of many errors where there is nothing to go on with."""
        if json.loads((self.folder / BEGUN).read_text(encoding="utf-8")) != self.begun:
            raise ValueError("it was begun for other features")
        progress = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        self.done, self.images_sha256 = int(progress["images"]), str(progress["sha256"])
        self.arrays = self._open()
        for array in self.arrays.values():
            if array.rows() < self.done:
                raise ValueError(f"{array.path} lacks rows")
            array.cut(self.done)


class GrowingArray:
    """An .npy file of a known number of rows that is written bit by bit; NumPy opens none that lacks rows.

    Raises:
        ValueError: the file is there, but begins otherwise.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self.row_bytes = shape[1] * np.dtype(FLOAT).itemsize
        if not path.exists():
            unfinished = path.with_name(f"{path.name}.unfinished")
            with unfinished.open("wb") as file:
                header = {"descr": FLOAT, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            unfinished.replace(path)
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            found, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
            self.head_bytes = file.tell()
        if (found, fortran_order, dtype) != (shape, False, np.dtype(FLOAT)):
            raise ValueError(f"{path} holds {dtype} of shape {found}, not {FLOAT} of {shape}")

    def rows(self) -> int:
        """Whole rows that are there."""
        return (self.path.stat().st_size - self.head_bytes) // self.row_bytes

    def cut(self, rows: int) -> None:
        """Forget what is beyond so many rows."""
        os.truncate(self.path, self.head_bytes + rows * self.row_bytes)

    def append(self, rows: npt.NDArray[np.float32]) -> None:
        """Rows [n, d] at the end."""
        if rows.shape[1:] != self.shape[1:]:
            raise EBMError(
                f"{self.path.name} takes rows of {self.shape[1]} numbers. Received: shape {rows.shape}"
            )
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, FLOAT).tobytes())


class ImagesDigest:
    """The sha256 of a set of images of one shape [H, W, C], whatever their order.

    Of the text of the shape, and of the sum modulo 2^256 of the sha256 of each image's pixels.
    """

    def __init__(self, image_shape: tuple[int, ...]) -> None:
        self._shape, self._sum = str(tuple(map(int, image_shape))).encode(), 0

    def add(self, images: npt.NDArray[np.uint8]) -> str:
        """The digest, in hexadecimal, with more images uint8 [n, H, W, C], n >= 0."""
        for image in images:
            self._sum += int.from_bytes(hashlib.sha256(image.tobytes()).digest(), "big")
        return self.hexdigest()

    def merge(self, other: ImagesDigest) -> str:
        """The digest with the images of another one, which are of the same shape."""
        self._sum += other._sum
        return self.hexdigest()

    def hexdigest(self) -> str:
        """The digest of all images up to now."""
        return hashlib.sha256(self._shape + (self._sum % 2**256).to_bytes(32, "big")).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
