"""IDX files, the form of MNIST (http://yann.lecun.com/exdb/mnist), read image by image.

An IDX file: two zero bytes, a type (8: uint8), the number of dimensions, each dimension as big-endian uint32, the
values. Files may be gzipped (.gz); labels are optional.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Optional, cast

import numpy as np

from ebm_tf.demands import folder_there
from ebm_tf.errors import MissingInput

IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
UINT8 = 8


class Files(NamedTuple):
    """The files by split; labels is empty where there are none."""

    images: dict[str, Path]
    labels: dict[str, Path]


def find_files(folder: Path) -> Files:
    """The files that a folder holds, checked against one another.

    Raises:
        MissingInput: a file is missing or not IDX, labels are there for one split only, or do not match.
    """
    folder_there(folder, "the IDX files")
    images = {split: _find(folder, name) for split, name in IMAGES.items()}
    labels = {split: _find(folder, name) for split, name in LABELS.items()}
    for split, name in IMAGES.items():
        if images[split] is None:
            raise MissingInput(f"{folder} holds no {name} or {name}.gz")
    missing = [LABELS[split] for split, path in labels.items() if path is None]
    if len(missing) == 1:
        raise MissingInput(f"{folder} holds labels of one split only; add {missing[0]}, or take both away")
    found = Files(cast("dict[str, Path]", images), {} if missing else cast("dict[str, Path]", labels))
    for split, path in found.labels.items():
        pictures, answers = dimensions(found.images[split])[0], dimensions(path)
        if answers != (pictures,):
            raise MissingInput(
                f"{path} holds labels of the shape {list(answers)}, {found.images[split].name} {pictures} images; "
                "give files that belong together"
            )
    return found


def image_shape(files: Files) -> tuple[int, int, int]:
    """Height, width and channels.

    Raises:
        MissingInput: not images of one or three channels, or not the same in both splits.
    """
    shapes = {split: (*dimensions(path), 1)[1:4] for split, path in files.images.items()}
    for split, path in files.images.items():
        shape = shapes[split]
        if len(dimensions(path)) not in (3, 4) or shape[2] not in (1, 3) or 0 in dimensions(path):
            raise MissingInput(
                f"{path} holds values of the shape {list(dimensions(path))}; give [images, height, width], or "
                "[images, height, width, 3]"
            )
        if shape != shapes["train"]:
            raise MissingInput(
                f"{path} holds images of {list(shape)}, those to train {list(shapes['train'])}"
            )
    return cast("tuple[int, int, int]", shapes["train"])


def class_count(files: Files) -> int:
    """One more than the largest label; 0 without labels."""
    return max((int(read_labels(path).max()) + 1 for path in files.labels.values()), default=0)


def read_images(path: Path) -> Iterator[np.ndarray]:
    """The images one after another, uint8 [H, W, C].

    Raises:
        MissingInput: the file ends early or goes on after the last one.
    """
    count, *shape = dimensions(path)
    with _open(path) as file:
        _read(file, 4 * (2 + len(shape)), path)
        for index in range(count):
            values = _read(file, int(np.prod(shape)), path, f" in image {index} of {count}")
            yield np.frombuffer(values, np.uint8).reshape((*shape, 1)[:3])
        if file.read(1):
            raise MissingInput(f"{path} goes on after the {count} images that its head announces")


def read_labels(path: Path) -> np.ndarray:
    """The labels, uint8 [n].

    Raises:
        MissingInput: the file holds fewer than its head announces.
    """
    (count,) = dimensions(path)
    with _open(path) as file:
        _read(file, 8, path)
        return np.frombuffer(_read(file, count, path, f" within its {count} labels"), np.uint8)


def dimensions(path: Path) -> tuple[int, ...]:
    """What the head of a file announces, one to four numbers.

    Raises:
        MissingInput: it is not the head of an IDX file of bytes.
    """
    with _open(path) as file:
        zeros, kind, number = struct.unpack(">HBB", _read(file, 4, path))
        if zeros != 0 or kind != UINT8 or not 1 <= number <= 4:
            raise MissingInput(
                f"{path} is no IDX file of bytes: it begins with {zeros:04x}{kind:02x}{number:02x}"
            )
        return struct.unpack(f">{number}I", _read(file, 4 * number, path))


def _read(file: IO[bytes], count: int, path: Path, where: str = "") -> bytes:
    try:
        values = file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise MissingInput(f"{path} cannot be read{where}: {error}") from error
    if len(values) < count:
        raise MissingInput(f"{path} is truncated: it ends{where or ' within its head'}")
    return values


def _find(folder: Path, name: str) -> Optional[Path]:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
