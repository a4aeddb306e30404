"""What TrainEBM and JoinTraining share: the trainer, and how its workers come together."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import tensorflow as tf

import ebm_tf
from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.extractors.digests import folder_sha256
from ebm_tf.stages.context import Context
from ebm_tf.training.checkpoint import CheckpointFolder
from ebm_tf.training.trainer import Trainer
from ebm_tf.workers.cluster import cluster_of, demand_chief, demand_other_worker
from ebm_tf.workers.meeting import Identity, gather, join
from ebm_tf.workers.team import Alone, Team

SECTIONS = ("model", "langevin", "replay", "augmentation", "loss", "optimiser", "training")


def build_trainer(context: Context, store: Store, strategy: tf.distribute.Strategy) -> Trainer:
    """The trainer of a stage's settings for the images of a store."""
    return Trainer(
        strategy,
        store.manifest.shape,
        store.manifest.levels,
        len(store.manifest.classes),
        context.section("seed"),
        **{name: context.section(name) for name in SECTIONS},
        lanes=context.compute.lanes,
        portions=context.compute.portions,
    )


def chiefs_team(context: Context, store: Store) -> AbstractContextManager[Team | Alone]:
    """The workers that train with this one, which keeps the results; nobody where there is nothing left to train.

    Raises:
        ConfigError: the cluster is none, this is not its chief, or another worker would train something else.
        EBMError: another worker does not come.
    """
    compute = context.compute
    demand_chief(compute)
    if compute.strategy == "mirrored" or _trained(context):
        return Alone()
    cluster = cluster_of(compute)
    if len(cluster.workers) == 1:
        return Alone()
    peers = gather(cluster, identity(context, store), compute.wait_seconds, _teller(context))
    return Team(cluster, peers, context.end)


def joined_team(context: Context, store: Store, incoming: Path) -> Team:
    """The chief, for another worker.

    Args:
        incoming: folder for the states that the chief sends.

    Raises:
        ConfigError: the cluster is none, this is its chief, or the chief would train something else.
        EBMError: the chief does not come.
    """
    cluster = demand_other_worker(context.compute)
    wait, tell = context.compute.wait_seconds, _teller(context)
    chief = join(cluster, identity(context, store), wait, tell, incoming)
    return Team(cluster, {0: chief}, context.end)


def identity(context: Context, store: Store) -> Identity:
    """What has to be the same on all workers. Weights to start from are the chief's alone, wherever they lie."""
    training = {key: value for key, value in context.settings["training"].items() if key != "initial_model"}
    manifest, package = store.manifest, Path(ebm_tf.__file__).parent
    return {
        **context.settings,
        "training": training,
        "images": {key: manifest.sha256[key][:16] for key in ("train.npy", "train_labels.npy")},
        "levels": manifest.levels,
        "classes": len(manifest.classes),
        "GPUs": len(tf.config.get_visible_devices("GPU")),
        "TensorFlow": tf.__version__,
        "ebm_tf": f"{ebm_tf.__version__} (code {folder_sha256(package, '*.py')[:12]})",
    }


def _trained(context: Context) -> bool:
    """Whether a run that was cut short had come to its last step."""
    checkpoints = CheckpointFolder(context.work / "checkpoints", tf.train.Checkpoint())
    newest = checkpoints.first_whole(reversed(checkpoints.steps()))
    return bool(newest == context.section("training").steps)


def _teller(context: Context) -> Any:
    steps = context.section("training").steps
    return lambda message: context.progress(0, steps, message)
