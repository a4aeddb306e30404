"""Which images a user's folder holds: its classes, its files, and which of them are held out.

Folders at the top level that hold images are classes, unless they are train/ and test/, which hold the classes, or
the images, of each split. Without those, a share of the files is held out by a hash of their names, so that more
files change no file's split.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Optional

from PIL import Image

from ebm_tf.datasets.image_files import FORMATS, Unusable, read_header
from ebm_tf.demands import folder_there
from ebm_tf.errors import MissingInput

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Listing:
    """The files of a folder, as paths below it with forward slashes, in alphabetical order.

    Attributes:
        classes: names of the classes; empty for images without labels.
        splits: files of train and test, or, where the folder has no such folders, of "all".
        labels: number of each file's class; -1 without classes.
    """

    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, list[str]]
    labels: dict[str, int]


def list_folder(folder: Path) -> Listing:
    """What a folder holds. Names that begin with a dot are passed over, and folders without images beside classes.

    Files are judged by their names; their heads are read only where a folder has no name of an image.

    Raises:
        MissingInput: it is not there, is empty, or its layout is none of those above.
    """
    folder_there(folder, "your images")
    parts = _split_folders(folder)
    names = {split: _folders(folder / part) for split, part in parts.items()}
    if len({bool(found) for found in names.values()}) > 1:
        raise MissingInput(f"{folder}: give both train/ and test/ a folder for each class, or neither")
    classes = tuple(sorted(set(chain(*names.values()))))
    splits: dict[str, list[str]] = {}
    labels: dict[str, int] = {}
    for split, part in parts.items():
        splits[split] = []
        _refuse_loose_images(folder / part, names[split])
        for place in names[split] or [""]:
            files = [str(Path(part, place, name).as_posix()) for name in files_below(folder / part / place)]
            splits[split] += files
            labels.update(dict.fromkeys(files, classes.index(place) if place else -1))
        if not splits[split]:
            raise MissingInput(f"{folder / part} holds no files; dataset.path is to hold images")
    return Listing(folder, classes, {split: sorted(files) for split, files in splits.items()}, labels)


def without_images(folder: Path) -> list[str]:
    """The folders that would be classes if they held an image, as paths below `folder`."""
    found = []
    for part in _split_folders(folder).values():
        classes = _folders(folder / part)
        found += [Path(part, name).as_posix() for name in _all_folders(folder / part) if name not in classes]
    return found


def look(folder: Path, sizes: bool) -> tuple[Optional[int], Optional[int], int, int]:
    """Height and width (None if files differ, or sizes are not asked for), channels and number of classes.

    Colour images have three channels; only where every file is grey there is one. Reads the heads of files, and
    no more of them than needed.

    Raises:
        MissingInput: as `list_folder`, or no file is an image.
    """
    listing = list_folder(folder)
    found: set[tuple[int, int]] = set()
    channels = None
    for name in chain(*listing.splits.values()):
        try:
            header = read_header(folder / name)
        except Unusable:
            continue
        found.add((header.height, header.width))
        channels = 1 if header.grey and channels != 3 else 3
        if channels == 3 and not (sizes and len(found) == 1):
            break
    if channels is None:
        raise MissingInput(f"none of the files in {folder} is an image that can be read")
    height, width = found.pop() if sizes and len(found) == 1 else (None, None)
    return height, width, channels, len(listing.classes)


def held_out(files: list[str], share: float, usable: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Divide files into those to train with and those held out, by a hash of their names.

    Args:
        files: names of at least two files.
        share: of the files that is held out, on average, 0..1.
        usable: whether a file is an image; asked until each side has one.

    Raises:
        MissingInput: there are not two usable files, one for each side.
    """
    ordered = sorted(files, key=_place)
    test = [name for name in ordered if _place(name) < share]
    train = ordered[len(test) :]
    # With few files chance may leave a side without any.
    if not any(map(usable, test)):
        _move(next(filter(usable, train), None), train, test)
    if not any(map(usable, train)):
        _move(next(filter(usable, reversed(test)), None), test, train)
    if not any(map(usable, train)) or not any(map(usable, test)):
        raise MissingInput(
            f"fewer than two of {len(files)} files give an image, and it takes two: one to train with, one held out"
        )
    return sorted(train), sorted(test)


def _place(name: str) -> float:
    """A number in [0, 1) that follows from a name."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:6], "big") / 2**48


def _move(name: Optional[str], source: list[str], target: list[str]) -> None:
    if name is not None:
        source.remove(name)
        target.append(name)


def _split_folders(folder: Path) -> dict[str, str]:
    """Split to sub-folder: train and test, or the whole."""
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if len(there) == 1:
        raise MissingInput(
            f"{folder} holds {there[0]}/ alone; add the other of train/ and test/, or give "
            f"dataset.path={folder / there[0]}, of which dataset.test_share is held out"
        )
    return {split: split for split in there} or {"all": ""}


def _folders(folder: Path) -> list[str]:
    """The class folders; one without an image file, such as one of notes, is none."""
    return [name for name in _all_folders(folder) if _holds_image(folder / name)]


def _all_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _holds_image(folder: Path) -> bool:
    """By the names of the files, or else, as images may be called anything, by their heads."""
    suffixes = _image_suffixes()
    if any(Path(name).suffix.lower() in suffixes for name in files_below(folder)):
        return True
    return any(_is_image(folder / name) for name in files_below(folder))


def _is_image(path: Path) -> bool:
    try:
        read_header(path)
    except Unusable:
        return False
    return True


def _image_suffixes() -> set[str]:
    """Of the formats that are read; Pillow knows more, which it can only write, such as PDF."""
    return {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}


def _refuse_loose_images(folder: Path, classes: list[str]) -> None:
    """Beside class folders there may be notes, but images would have no label."""
    suffixes = _image_suffixes()
    loose = sorted(
        path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() in suffixes
    )
    if classes and loose:
        raise MissingInput(
            f"{folder} holds folders ({', '.join(classes[:3])}), which are classes, and images beside them "
            f"({', '.join(loose[:3])}); put every image into a folder, or none"
        )


def files_below(folder: Path) -> Iterator[str]:
    """Files of a folder by name, then those of the folders in it; none whose name begins with a dot."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield str(Path(place, name).relative_to(folder))
