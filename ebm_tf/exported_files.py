"""From and to files, for an exported model: images that it is to judge, samples that it drew. No TensorFlow."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebm_tf.datasets.folder_listing import files_below
from ebm_tf.datasets.image_files import Unusable, read_header, read_image
from ebm_tf.datasets.image_sets import Bytes, FolderImages, ImageSet, open_images
from ebm_tf.datasets.shaping import central_square, coloured, resized
from ebm_tf.demands import sized
from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.exported_demands import Labels, images_fit
from ebm_tf.grey_levels import at_mid_level
from ebm_tf.shards import Stacked, save_npz
from ebm_tf.signature import Signature

COLUMNS = 20
"""Of a grid of samples, at most."""
BLOCK = 250
"""Images that are read, and held, at a time."""
REMEDY = "give --resize to bring them to that"


class ToJudge:
    """The images of a folder, an .npz or an .npy, as an exported model takes them.

    Args:
        resize: bring images of other sizes and colours to the model's: their largest central square, shrunk by area,
            as dataset.crop=centre does; grey by their luma, or grey three times. Otherwise they must have its shape.

    Attributes:
        names: of a folder its files, as paths below it; else "0", "1", ...

    Raises:
        ConfigError: they are of another shape, or the model's images are no squares to resize to.
        MissingInput: there are none, or they are not images.
    """

    def __init__(self, place: Path, signature: Signature, resize: bool) -> None:
        self._wanted, self._resize = signature.images, resize
        height, width, _ = self._wanted.shape
        if resize and height != width:
            raise ConfigError(
                f"--resize makes squares, and the model takes images of {sized((height, width))}; bring them to that "
                "by other means"
            )
        if place.is_dir() and not resize:
            _demand_one_size(place, signature)
        self._files = _files_of(place) if resize and place.is_dir() else []
        self._set: ImageSet | None = None if self._files else open_images(place)
        if self._set is not None and not resize:
            images_fit(signature, self._set.shape[1:], place, REMEDY)
        files = self._set.files if isinstance(self._set, FolderImages) else self._files
        self.names = (
            [file.relative_to(place).as_posix() for file in files]
            if files
            else [str(number) for number in range(len(self))]
        )

    def __len__(self) -> int:
        return len(self._files) if self._set is None else len(self._set)

    def pixels(self) -> Iterator[npt.NDArray[np.float32]]:
        """float32 [<= BLOCK, H, W, C] in [0, 1], in order, at the middle of the grey levels that the model knows.

        Raises:
            MissingInput: one cannot be read.
        """
        for block in self._blocks() if self._set is None else self._set.batches(BLOCK):
            brought = [self._brought(image) for image in block] if self._resize else block
            yield at_mid_level(np.asarray(brought), self._wanted.levels)

    def _blocks(self) -> Iterator[list[Bytes]]:
        for first in range(0, len(self._files), BLOCK):
            yield [self._read(path) for path in self._files[first : first + BLOCK]]

    def _read(self, path: Path) -> Bytes:
        try:
            return np.asarray(read_image(path, self._wanted.shape[2]), np.uint8)
        except Unusable as error:
            raise MissingInput(f"cannot read the image {path}: {error}; leave it out or mend it") from error

    def _brought(self, image: Bytes) -> Bytes:
        size, _, channels = self._wanted.shape
        return resized(central_square(coloured(image, channels)), size)


def demand_free_file(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that cannot be made, before anything is computed for it.

    Raises:
        ConfigError: it is there already, or has another suffix than one of these.
        MissingInput: the folder that it is to be in is not there, or nothing can be written in it.
    """
    if path.suffix not in suffixes:
        raise ConfigError(f"--out {path} does not end in {' or '.join(suffixes)}; give a name that does")
    if path.exists() or path.is_symlink():
        raise ConfigError(f"--out {path} is there already; give another name, or remove it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder} for {path.name}; make it, or give another --out")
    if not os.access(folder, os.W_OK):
        raise MissingInput(f"nothing can be written in {folder}; give another --out")


def write_samples(path: Path, images: Bytes, labels: Labels) -> None:
    """Samples, uint8 [n, H, W, C], as a .png of all side by side, or as an .npz of `images` (and `labels`).

    Raises:
        MissingInput: the file cannot be written.
    """
    with _whole(path) as unfinished:
        if path.suffix == ".npz":
            save_npz(unfinished, Stacked([images]), labels)
        else:
            from ebm_tf.figures import save_grid  # takes Matplotlib, which .npz need not wait for

            save_grid(images, unfinished, min(COLUMNS, int(np.ceil(np.sqrt(len(images))))))


def write_rows(path: Path, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table as a .csv.

    Raises:
        MissingInput: the file cannot be written.
    """
    with _whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([headings, *rows])


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside `path`, which takes its place at the end, and is gone if there is no such end."""
    unfinished = path.with_name(f".{path.stem[:200]}.unfinished{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise MissingInput(f"cannot write {path}: {error.strerror}; give another --out") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _demand_one_size(folder: Path, signature: Signature) -> None:
    """Name the first image of another size; what is no image is told of by who reads it."""
    for path in _files_of(folder):
        with suppress(Unusable):
            header = read_header(path)
            if (header.height, header.width) != signature.images.shape[:2]:
                images_fit(signature, (header.height, header.width, 1 if header.grey else 3), path, REMEDY)


def _files_of(folder: Path) -> list[Path]:
    files = [folder / name for name in files_below(folder)]
    if not files:
        raise MissingInput(f"{folder} holds no files; give a folder of images, or an .npz")
    return files
