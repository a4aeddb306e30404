"""Writing a store: image by image, so that a data set of any size takes the memory of a few images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Optional, Union

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ebm_tf.config import Dataset
from ebm_tf.datasets.fetching import fetch
from ebm_tf.datasets.folder import Folder
from ebm_tf.datasets.registry import image_shape_of, levels_of, source
from ebm_tf.datasets.shaping import shaped
from ebm_tf.datasets.store import NO_LABEL, Manifest
from ebm_tf.errors import MissingInput
from ebm_tf.files import sha256_of

REPORT_EVERY, NAMED_FILES = 1000, 10
Report = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""


class ArrayFile:
    """An .npy file that grows entry by entry; its head is completed at the end, when their number is known."""

    def __init__(self, path: Path, dtype: type, entry_shape: tuple[int, ...]) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.entry_shape, self.count = entry_shape, 0
        self._file: IO[bytes] = path.open("wb")
        self._write_head()
        self._head_bytes = self._file.tell()

    def __enter__(self) -> ArrayFile:
        return self

    def append(self, entry: Union[np.ndarray, int]) -> None:
        """One more entry, of the shape given at the start."""
        value = np.asarray(entry, self.dtype)
        assert value.shape == self.entry_shape
        self._file.write(value.tobytes())
        self.count += 1

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._write_head()  # numpy pads it, so that the count can grow
            assert self._file.tell() == self._head_bytes

    def _write_head(self) -> None:
        head = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count, *self.entry_shape)}
        np.lib.format.write_array_header_1_0(self._file, head)


def write_store(dataset: Dataset, data_dir: Optional[str], work: Path, out: Path, report: Report) -> Manifest:
    """Prepare a data set by TFDS and write it as a store.

    Args:
        data_dir: where TFDS keeps what it downloads; None for its own default.
        work: folder for the records of sets that need no download; what an earlier run left there is removed.
        out: folder that receives the store.

    Raises:
        MissingInput: files, network or disk space are missing, or files are damaged.
        ConfigError: the section leaves the size open, or asks for tiles larger than the images.
    """
    row, shape = source(dataset.name), image_shape_of(dataset)
    builder = _prepared(dataset, data_dir, work / "tfds", report)
    splits = {"train": row.train, "test": row.test}
    totals = {
        split: min(builder.info.splits[wanted].num_examples, dataset.limit or 2**62)
        for split, wanted in splits.items()
    }
    if dataset.crop != "tiles":
        _check_disk(sum(totals.values()) * int(np.prod(shape)), out)
    counts = {}
    for split, wanted in splits.items():
        before = totals["train"] if split == "test" else 0

        def tell(done: int, before: int = before) -> None:
            report(before + done, sum(totals.values()), "images written")

        with (
            ArrayFile(out / f"{split}.npy", np.uint8, shape) as images,
            ArrayFile(out / f"{split}_labels.npy", np.int64, ()) as labels,
        ):
            for image, label in _examples(builder, wanted, dataset, shape, tell):
                images.append(image)
                labels.append(label)
        counts[split] = images.count
        if not images.count:
            raise MissingInput(f"{dataset.name} gives no {split} images of {shape[0]}x{shape[1]} pixels")
    manifest = Manifest(
        dataset=dataset.name,
        version=str(builder.version),
        shape=shape,
        dtype="uint8",
        levels=levels_of(dataset),
        classes=list(builder.info.features["label"].names) if "label" in builder.info.features else [],
        counts=counts,
        sha256={path.name: sha256_of(path) for path in sorted(out.glob("*.npy"))},
        licence=row.licence,
        unusable=_unusable(builder),
    )
    (out / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def _prepared(
    dataset: Dataset, data_dir: Optional[str], records: Path, report: Report
) -> tfds.core.DatasetBuilder:
    """A builder whose records are on disk."""
    row = source(dataset.name)
    tfds.disable_progress_bar()
    if row.download:
        folder = str(Path(data_dir).expanduser().absolute()) if data_dir else None
        builder = row.builder(dataset, folder)
        fetch(builder, dataset.name, row.download, lambda message: report(0, 1, message))
        return builder
    shutil.rmtree(
        records, ignore_errors=True
    )  # of a run that was ended, perhaps of files that have changed since
    builder = row.builder(dataset, str(records))
    if hasattr(builder, "report"):
        builder.report = lambda done, total: report(done, total, "files read")
    builder.download_and_prepare()
    return builder


def _examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    dataset: Dataset,
    shape: tuple[int, int, int],
    tell: Callable[[int], None],
) -> Iterator[tuple[np.ndarray, int]]:
    """The first images of a split, shaped, each with its label."""
    # In the order of the records, and not kept in memory, as small sets would be.
    records = builder.as_dataset(split=split, read_config=tfds.ReadConfig(try_autocache=False))
    written = 0
    try:
        for number, example in enumerate(tfds.as_numpy(records)):
            if number % REPORT_EVERY == 0:
                tell(number)
            for image in shaped(example["image"], dataset, shape[2]):
                if written == dataset.limit:
                    return
                yield image, int(example.get("label", NO_LABEL))
                written += 1
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        raise MissingInput(
            f"records of {dataset.name} in {builder.data_dir} are damaged; remove that folder and run again "
            f"({str(error).splitlines()[0]})"
        ) from error


def _check_disk(needed: int, out: Path) -> None:
    free = shutil.disk_usage(out).free
    if free < needed:
        raise MissingInput(
            f"no disk space: the images take {needed >> 20} MiB, and {free >> 20} MiB are free at {out}; make room, "
            "give another --root, or fewer images with dataset.limit"
        )


def _unusable(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    """What the manifest says of a user's files that gave no image."""
    if not isinstance(builder, Folder) or not builder.unusable:
        return {}
    return {"count": len(builder.unusable), "files": dict(sorted(builder.unusable.items())[:NAMED_FILES])}
