"""Images from anywhere, as uint8 batches: arrays, .npz and .npy files, folders of image files.

Nothing is loaded as a whole: an .npz is read as a stream, a folder file by file.
"""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ebm_tf.datasets.folder_listing import files_below
from ebm_tf.datasets.image_files import Header, Unusable, read_header, read_image
from ebm_tf.demands import sized
from ebm_tf.errors import MissingInput
from ebm_tf.files import UNREADABLE

Bytes = npt.NDArray[np.uint8]
KEYS = ("images", "arr_0")
"""Names under which an .npz may hold its images, the first of them that it has; `np.savez` gives a nameless array the
second."""
LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WebP", "JPEG2000": "JPEG 2000"}
"""Formats that as a rule change pixels, with the names that people know them by."""


class ImageSet(ABC):
    """Images of one shape.

    Attributes:
        name: for people.
        shape: (n, height, width, channels), n >= 1, channels 1 or 3.
        notes: what a reader of numbers about them has to know, a sentence each.
    """

    name: str
    shape: tuple[int, int, int, int]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def batches(self, size: int) -> Iterator[Bytes]:
        """uint8 [<= size, H, W, C], in order; only the last may be smaller."""


class ArrayImages(ImageSet):
    """Of an array or a memory map, uint8 [n, H, W, C]."""

    def __init__(self, images: Bytes, name: str = "images") -> None:
        self.name, self.images = name, images
        self.shape = _checked_shape(images.shape, images.dtype, name)

    def batches(self, size: int) -> Iterator[Bytes]:
        """Slices of the array."""
        for start in range(0, len(self), size):
            yield np.asarray(self.images[start : start + size])


class NpzImages(ImageSet):
    """Of an .npz file, compressed or not, that holds uint8 [n, H, W, C] as `images`, or else as `arr_0`.

    Raises:
        MissingInput: it does not, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path
        try:
            with zipfile.ZipFile(path) as archive:
                self.member = _member(path, archive.namelist())
                with archive.open(self.member) as file:
                    shape, dtype = _head(path, file)
        except UNREADABLE as error:
            raise MissingInput(f"cannot read the images of {path}: {error}") from error
        self.shape = _checked_shape(shape, dtype, str(path))

    def batches(self, size: int) -> Iterator[Bytes]:
        """Read as a stream.

        Raises:
            MissingInput: the file is cut off or damaged.
        """
        entry = int(np.prod(self.shape[1:]))
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                _head(self.path, file)
                for start in range(0, len(self), size):
                    count = min(size, len(self) - start)
                    data = file.read(count * entry)
                    if len(data) < count * entry:
                        raise ValueError(f"it ends within image {start + len(data) // entry} of {len(self)}")
                    yield np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])
        except UNREADABLE as error:
            raise MissingInput(f"cannot read the images of {self.path}: {error}") from error


class FolderImages(ImageSet):
    """Of a folder, with the folders in it: every file, which must be images of one size, all grey or all in colour.

    Raises:
        MissingInput: it holds no images, a file that is none, or images of several sizes or of grey and colour.
    """

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = folder.name, folder
        self.files = [folder / name for name in files_below(folder)]
        if not self.files:
            raise MissingInput(f"{folder} holds no files; give a folder of images, or an .npz")
        kinds: dict[tuple[int, int, bool], Path] = {}
        lossy: list[str] = []
        for file in self.files:
            height, width, grey, written = _header(file)
            kinds.setdefault((height, width, grey), file)
            lossy += [LOSSY[written]] if written in LOSSY else []
        _demand_one_kind(folder, kinds)
        self.shape = (len(self.files), height, width, 1 if grey else 3)
        if lossy:
            self.notes = (
                f"{len(lossy)} of the {len(self.files)} images of {folder} are {' or '.join(sorted(set(lossy)))} "
                "files: lossy compression moves the numbers; compare PNG with PNG.",
            )

    def batches(self, size: int) -> Iterator[Bytes]:
        """Files are decoded as they are needed.

        Raises:
            MissingInput: one is damaged.
        """
        for start in range(0, len(self), size):
            yield np.stack([self._read(file) for file in self.files[start : start + size]])

    def _read(self, file: Path) -> Bytes:
        try:
            return np.asarray(read_image(file, self.shape[3]), np.uint8)
        except Unusable as error:
            raise MissingInput(f"cannot read the image {file}: {error}; leave it out or mend it") from error


def open_images(place: Path) -> ImageSet:
    """The images of a folder, an .npz or an .npy.

    Raises:
        MissingInput: there is nothing of these.
    """
    if place.is_dir():
        return FolderImages(place)
    if not place.exists():
        raise MissingInput(
            f"{place} is not there; give a folder of images, or an .npz with uint8 images [n, h, w, c]"
        )
    if place.suffix == ".npz":
        return NpzImages(place)
    if place.suffix == ".npy":
        try:
            return ArrayImages(np.load(place, mmap_mode="r", allow_pickle=False), str(place))
        except UNREADABLE as error:
            raise MissingInput(f"cannot read the images of {place}: {error}") from error
    raise MissingInput(f"{place} is no folder, .npz or .npy; give one that holds uint8 images [n, h, w, c]")


def _member(path: Path, names: list[str]) -> str:
    for key in KEYS:
        if f"{key}.npy" in names:
            return f"{key}.npy"
    held = ", ".join(name.removesuffix(".npy") for name in names) or "nothing"
    raise MissingInput(
        f"{path} holds {held}; its images are to be called {' or '.join(KEYS)}, uint8 [n, h, w, c]"
    )


def _head(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an .npy stream, which then stands at its first number."""
    readers: dict[Any, Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"its array is in version {version} of NumPy's format, and 1.0 and 2.0 are known")
    shape, fortran_order, dtype = readers[version](file)
    if fortran_order:
        raise MissingInput(f"{path} holds its images in Fortran order; save np.ascontiguousarray(images)")
    return shape, dtype


def _checked_shape(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> tuple[int, int, int, int]:
    if dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or min(shape) < 1:
        raise MissingInput(
            f"{name} holds {dtype} of shape {tuple(shape)}; images are uint8 in 0..255 of shape [n, h, w, c] with c "
            "1 or 3 and n at least 1"
        )
    count, height, width, channels = shape
    return count, height, width, channels


def _header(file: Path) -> Header:
    try:
        return read_header(file)
    except Unusable as error:
        raise MissingInput(f"{file} is no image ({error}); leave it out of the folder") from error


def _demand_one_kind(folder: Path, headers: dict[tuple[int, int, bool], Path]) -> None:
    if len(headers) == 1:
        return
    (one, first), (other, second) = list(headers.items())[:2]

    def told(header: tuple[int, int, bool]) -> str:
        return f"{sized(header[:2])} in {'grey' if header[2] else 'colour'}"

    raise MissingInput(
        f"{folder} holds images of several kinds: {first.name} is {told(one)}, {second.name} {told(other)}; bring "
        "them to one size, all grey or all in colour"
    )
