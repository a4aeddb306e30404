"""One row per data set: how TFDS builds or fetches it, and what its images are like.

Everything here is known without downloading, and without importing TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

from ebm_tf.config import Dataset
from ebm_tf.datasets import folder_listing, idx_files
from ebm_tf.datasets.idx_files import IMAGES, LABELS
from ebm_tf.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

CHANNELS = {"grey": 1, "rgb": 3}


class Native(NamedTuple):
    """Images as the data set has them.

    Attributes:
        height, width: pixels; None where images differ in size.
        channels: 1 or 3.
        classes: number of labels; 0 for images without.
    """

    height: Optional[int]
    width: Optional[int]
    channels: int
    classes: int


@dataclass(frozen=True)
class Download:
    """What TFDS fetches, or what a user has to fetch.

    Attributes:
        mebibytes: about this much.
        files: names under which TFDS takes them from its folder downloads/manual.
        hosts: where they come from, as http(s)://name.
        manual: how to get them, where TFDS cannot.
        package: what TFDS needs besides to read them, as (module, what to give to pip install).
    """

    mebibytes: int
    files: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    manual: str = ""
    package: Optional[tuple[str, str]] = None


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        builder: TFDS builder for a dataset section and a data folder (None: TFDS's own default).
        native: its images, or how to find out from the files that dataset.path names.
        levels: different pixel values, evenly spaced over 0..255.
        licence: of the data, for the model card.
        train, test: TFDS splits.
        download: None for sets that need none.
    """

    builder: Callable[[Dataset, Optional[str]], tfds.core.DatasetBuilder]
    native: Native | Callable[[Dataset], Native]
    levels: int
    licence: str
    train: str = "train"
    test: str = "test"
    download: Optional[Download] = None


def _of_tfds(dataset: Dataset, folder: Optional[str]) -> tfds.core.DatasetBuilder:
    import tensorflow_datasets as tfds

    return tfds.builder(dataset.name, data_dir=folder)


def _digits(dataset: Dataset, folder: Optional[str]) -> tfds.core.DatasetBuilder:
    from ebm_tf.datasets import digits

    builder = digits.DigitsStroke if dataset.name == "digits_stroke" else digits.Digits
    return builder(data_dir=folder)


def _idx(dataset: Dataset, folder: Optional[str]) -> tfds.core.DatasetBuilder:
    from ebm_tf.datasets import idx

    return idx.Idx(Path(str(dataset.path)), data_dir=folder)


def _idx_native(dataset: Dataset) -> Native:
    files = idx_files.find_files(Path(str(dataset.path)))
    return Native(*idx_files.image_shape(files), idx_files.class_count(files))


def _folder(dataset: Dataset, folder: Optional[str]) -> tfds.core.DatasetBuilder:
    from ebm_tf.datasets import folder as images

    return images.Folder(dataset, image_shape_of(dataset), data_dir=folder)


def _folder_native(dataset: Dataset) -> Native:
    return Native(*folder_listing.look(Path(str(dataset.path)), sizes=dataset.size is None))


MNIST_FILES = tuple(f"{name}.gz" for names in (IMAGES, LABELS) for name in names.values())

SOURCES: dict[str, Source] = {
    "digits": Source(_digits, Native(8, 8, 1, 10), 17, "CC BY 4.0 (UCI, doi 10.24432/C50P49)"),
    "digits_stroke": Source(_digits, Native(8, 8, 1, 3), 17, "CC BY 4.0 (UCI, doi 10.24432/C50P49)"),
    "mnist": Source(
        _of_tfds,
        Native(28, 28, 1, 10),
        256,
        "CC BY-SA 3.0 (LeCun, Cortes, Burges)",
        download=Download(12, MNIST_FILES, ("https://storage.googleapis.com",)),
    ),
    "fashion_mnist": Source(
        _of_tfds,
        Native(28, 28, 1, 10),
        256,
        "MIT (Zalando)",
        download=Download(30, MNIST_FILES, ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",)),
    ),
    "cifar10": Source(
        _of_tfds,
        Native(32, 32, 3, 10),
        256,
        "none stated (Krizhevsky 2009)",
        download=Download(163, ("cifar-10-binary.tar.gz",), ("https://www.cs.toronto.edu",)),
    ),
    "cifar100": Source(
        _of_tfds,
        Native(32, 32, 3, 100),
        256,
        "none stated (Krizhevsky 2009)",
        download=Download(161, ("cifar-100-binary.tar.gz",), ("https://www.cs.toronto.edu",)),
    ),
    "svhn_cropped": Source(
        _of_tfds,
        Native(32, 32, 3, 10),
        256,
        "non-commercial use only (Netzer et al. 2011)",
        download=Download(
            1501,
            ("train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"),
            ("http://ufldl.stanford.edu",),
        ),
    ),
    "dtd": Source(
        _of_tfds,
        Native(None, None, 3, 47),
        256,
        "for research purposes (Cimpoi et al. 2014)",
        download=Download(597, ("dtd-r1.0.1.tar.gz",), ("https://www.robots.ox.ac.uk",)),
    ),
    "imagenet_resized/32x32": Source(
        _of_tfds,
        Native(32, 32, 3, 1000),
        256,
        "non-commercial research and education (terms of image-net.org)",
        test="validation",
        download=Download(
            3543, ("Imagenet32_train_npz.zip", "Imagenet32_val_npz.zip"), ("http://www.image-net.org",)
        ),
    ),
    "celeb_a_hq/128": Source(
        _of_tfds,
        Native(128, 128, 3, 0),
        256,
        "CC BY-NC 4.0 (Karras et al. 2018; terms of CelebA)",
        # TFDS has one split; its records are in the random order of a hash.
        train="train[:90%]",
        test="train[90%:]",
        download=Download(
            1000,
            ("data128x128.tar",),
            manual="a tar file of the 30 000 images as PNG of 128x128 pixels, made as described at "
            "github.com/tkarras/progressive_growing_of_gans#preparing-datasets-for-training",
        ),
    ),
    "lsun/bedroom": Source(
        _of_tfds,
        Native(None, None, 3, 0),
        256,
        "none stated (Yu et al. 2015)",
        test="validation",
        download=Download(
            43_802,
            ("bedroom_train_lmdb.zip", "bedroom_val_lmdb.zip"),
            ("http://dl.yf.io",),
            package=("tensorflow_io", "tensorflow-io==0.36.0"),
        ),
    ),
    "idx": Source(_idx, _idx_native, 256, "that of your files"),
    "folder": Source(_folder, _folder_native, 256, "that of your files"),
}


def source(name: str) -> Source:
    """The row of a data set.

    Raises:
        ConfigError: no data set has this name.
    """
    if name not in SOURCES:
        raise ConfigError(f"no data set {name!r}; there are: {', '.join(SOURCES)}")
    return SOURCES[name]


def native_of(dataset: Dataset) -> Native:
    """Its images before size and colour are changed; for idx and folder found out from the files.

    Raises:
        MissingInput: the files are not there or not what they should be.
    """
    native = source(dataset.name).native
    return native if isinstance(native, Native) else native(dataset)


def image_shape_of(dataset: Dataset) -> tuple[int, int, int]:
    """Height, width and channels of the images that a dataset section gives.

    Raises:
        ConfigError: the section leaves the size open, or asks for tiles larger than the images.
        MissingInput: only the files of idx or folder could tell, and they do not.
    """
    size, channels = dataset.size, CHANNELS.get(dataset.colour)
    if dataset.crop == "tiles" and size is None:
        raise ConfigError("dataset.crop is tiles, which needs dataset.size, their height and width in pixels")
    if dataset.name == "folder" and size and channels:
        return size, size, channels
    native = native_of(dataset)
    if size is None and (native.height is None or native.width is None):
        raise ConfigError(f"images of {dataset.name} differ in size; give dataset.size, such as 32")
    smaller = min(native.height or 2**31, native.width or 2**31)
    if dataset.crop == "tiles" and size and size > smaller:
        raise ConfigError(
            f"dataset.size is {size}, a tile larger than images of {dataset.name} "
            f"({native.height}x{native.width}); give {smaller} or less"
        )
    height, width = size or native.height, size or native.width
    assert height and width
    return height, width, channels or native.channels


def classes_of(dataset: Dataset) -> Optional[int]:
    """Number of classes; 0 for images without labels; None if only files tell that are not there yet."""
    if dataset.path and not Path(dataset.path).is_dir():
        return None
    return native_of(dataset).classes


def levels_of(dataset: Dataset) -> int:
    """Different pixel values of the images that a dataset section gives: 256 where they are averages."""
    row = source(dataset.name)
    if row.levels == 256:
        return 256
    native = native_of(dataset)
    resized = (
        dataset.size and dataset.crop != "tiles" and (dataset.size,) * 2 != (native.height, native.width)
    )
    averaged = dataset.colour == "grey" and native.channels == 3
    return 256 if resized or averaged else row.levels
