"""ReferenceStatistics: features and moments of the real images: train/ and test/, each a FeatureSet."""

from __future__ import annotations

from ebm_tf import demands
from ebm_tf.datasets.image_sets import ArrayImages, ImageSet
from ebm_tf.datasets.store import Split, Store
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.figures import save_grid
from ebm_tf.stages.context import Context
from ebm_tf.stages.features import extract_into

SPLITS: tuple[Split, ...] = ("train", "test")


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    demands.images_to_compare(store.manifest.counts)
    extractor = load_extractor(context.inputs["Extractor"])
    images: dict[str, ImageSet] = {
        split: ArrayImages(store.images(split), f"{split} images") for split in SPLITS
    }
    extract_into(context, extractor, images)
    save_grid(store.images("test")[:100], context.out / "real_test.png", columns=20)
