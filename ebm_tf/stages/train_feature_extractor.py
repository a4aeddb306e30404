"""TrainFeatureExtractor: a small classifier of the same data, in whose features distances are measured."""

from __future__ import annotations

from ebm_tf import demands
from ebm_tf.datasets.store import Store
from ebm_tf.errors import EBMError
from ebm_tf.evaluation.extractors.classifier import save_classifier, train_classifier
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    settings, store = context.section("extractor"), Store(context.inputs["PrepareDataset"])
    classes = len(store.manifest.classes)
    demands.classes_to_tell_apart(store.manifest.dataset, classes)
    demands.images_to_compare(store.manifest.counts)
    train, test = ((store.images(split), store.labels(split)) for split in ("train", "test"))
    network, accuracy = train_classifier(train, test, classes, settings, settings.seed, context.progress)
    if accuracy < settings.minimum_accuracy:
        raise EBMError(
            f"the feature extractor gets {accuracy:.1%} of the test images right, less than "
            f"extractor.minimum_accuracy ({settings.minimum_accuracy:.0%}); raise extractor.epochs"
        )
    save_classifier(network, classes, accuracy, context.out)
    context.write_json("metrics.json", {"test_accuracy": accuracy, "test_images": len(store.labels("test"))})
