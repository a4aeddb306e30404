"""ImportFeatureExtractor: an extractor that is not trained here, copied so that its numbers can be made again."""

from __future__ import annotations

from pathlib import Path

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.extractors.sources import open_extractor, save_extractor
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    settings = context.section("extractor")
    shape = Store(context.inputs["PrepareDataset"]).manifest.shape
    path = None if settings.path is None else Path(settings.path)
    extractor = open_extractor(settings.name, path, shape, settings.seed, settings.sha256)
    save_extractor(extractor, context.out)
    context.write_json(
        "metrics.json", {"extractor": extractor.identity.as_json(), "notes": list(extractor.notes)}
    )
