"""Where computation runs: threads, replicas, determinism. Called once, before TensorFlow does anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ebm_tf.config import Compute
from ebm_tf.errors import ConfigError


def configure(settings: Compute) -> None:
    """Set up TensorFlow as a config says. Must run before the first operation of the process.

    Raises:
        ConfigError: compute.devices names one that is not there.
    """
    _show_only(settings)
    tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
    replicas = sum(name.startswith("CPU") for name in settings.devices) or settings.logical_cpus
    side_by_side = max(settings.threads, settings.lanes * replicas) if settings.threads else 0
    tf.config.threading.set_inter_op_parallelism_threads(side_by_side)
    if replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        each = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(cpu, each)
    for gpu in tf.config.get_visible_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()


def _show_only(settings: Compute) -> None:
    """Hide all GPUs but those of compute.devices. The CPU stays: data are prepared there, whatever computes."""
    if not settings.devices:
        return
    gpus = {f"GPU:{number}": gpu for number, gpu in enumerate(tf.config.list_physical_devices("GPU"))}
    there = [*gpus, *(f"CPU:{number}" for number in range(settings.logical_cpus))]
    if absent := [name for name in settings.devices if name not in there]:
        raise ConfigError(
            f"compute.devices names {', '.join(absent)}, but there is {', '.join(there)} (GPUs that TensorFlow "
            "finds, and compute.logical_cpus); choose of these, or give none to use what there is"
        )
    tf.config.set_visible_devices([gpus[name] for name in settings.devices if name in gpus], "GPU")


def demand_divisible(
    strategy: tf.distribute.Strategy, setting: str, batch_size: int, portions: int = 1
) -> None:
    """Refuse a batch that cannot be cut into equal shares, and these into equal portions.

    Raises:
        ConfigError: it cannot; `setting` is what it is called there.
    """
    devices = strategy.num_replicas_in_sync
    if batch_size % (devices * portions):
        over = f"{devices} devices" + (f" in {portions} portions each" if portions > 1 else "")
        raise ConfigError(
            f"{setting} is {batch_size}, which does not divide over {over}; give a multiple of {devices * portions}"
        )


def mirrored_strategy() -> tf.distribute.MirroredStrategy:
    """Synchronous training on every GPU, or on every logical CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def multi_worker_strategy(workers: Sequence[str], index: int) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Synchronous training on every GPU of every worker, or on one CPU of each where there is none.

    Returns when all workers have called it.

    Args:
        workers: "host:port" of each. index: of this one.
    """
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers)}),
        task_type="worker",
        task_id=index,
        num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def own_rows(batch_size: int) -> tuple[tf.Tensor, int]:
    """First row and number of rows of the global batch that the replica takes in which this is called."""
    context = tf.distribute.get_replica_context()
    count = batch_size // context.num_replicas_in_sync
    return context.replica_id_in_sync_group * count, count


def parts(count: Any, lanes: int) -> list[tuple[Any, Any]]:
    """First row and number of rows of each of `lanes` parts of `count` rows, as even as they can be.

    What is computed of each part alone, in one graph, is computed side by side. On small batches that gains more than
    several threads in each operation: parts do not wait for each other before the end.

    Args:
        count: a Python number, where there are no more parts than rows; or an int32 scalar, where some may be empty.
    """
    lanes = min(lanes, count) if isinstance(count, int) else lanes
    ends = [count * number // lanes for number in range(lanes + 1)]
    return [(first, end - first) for first, end in zip(ends, ends[1:])]


def own_part(whole: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Those rows of `whole`, whose first axis is the global batch."""
    first, count = own_rows(batch_size)
    return whole if count == batch_size else whole[first : first + count]


def in_one_process(strategy: tf.distribute.Strategy) -> bool:
    """Whether all replicas are here; otherwise other workers have some of them."""
    replicas = strategy.num_replicas_in_sync
    return replicas == 1 or len(strategy.extended.worker_devices) == replicas


def gathered(strategy: tf.distribute.Strategy, shares: Any) -> tf.Tensor:
    """The global batch from what each replica of each worker returned, in the order of `own_rows`."""
    if in_one_process(strategy):
        return tf.concat(strategy.experimental_local_results(shares), axis=0)
    return strategy.gather(shares, axis=0)


def summed(strategy: tf.distribute.Strategy, measured: dict[str, Any]) -> dict[str, tf.Tensor]:
    """The sum over all replicas of each of several numbers."""
    if in_one_process(strategy):
        return {name: strategy.reduce("SUM", value, axis=None) for name, value in measured.items()}
    stacked = strategy.run(lambda values: tf.stack(values), args=(list(measured.values()),))
    return dict(zip(measured, tf.unstack(strategy.reduce("SUM", stacked, axis=None))))
