"""Who trains together and which of them this is: by TF_CONFIG, by the settings, by both; what is refused."""

import json

import pytest

from ebm_tf.config import Compute
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from ebm_tf.workers.cluster import Cluster, cluster_of, demand_chief, demand_other_worker

WORKERS = ("10.0.0.7:2222", "10.0.0.8:2222")


def tf_config(kind="worker", index=0, **jobs):
    values = {"cluster": jobs or {"worker": list(WORKERS)}, "task": {"type": kind, "index": index}}
    return {"TF_CONFIG": json.dumps(values)}


def multi_worker(**settings):
    return Compute(strategy="multi_worker", **settings)


def test_tf_config_and_settings_say_the_same():
    expected = Cluster(WORKERS, 1)
    assert cluster_of(multi_worker(), tf_config(index=1)) == expected
    assert cluster_of(multi_worker(workers=WORKERS, worker=1), {}) == expected
    assert cluster_of(multi_worker(workers=WORKERS, worker=1), tf_config(index=1)) == expected
    assert cluster_of(multi_worker(workers=WORKERS), tf_config(index=1)) == expected, "TF_CONFIG says which"


@pytest.mark.parametrize(("kind", "index", "place"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_that_tf_config_names_comes_before_the_workers(kind, index, place):
    found = cluster_of(multi_worker(), tf_config(kind, index, chief=["a:1"], worker=["b:1", "c:1"]))
    assert found == Cluster(("a:1", "b:1", "c:1"), place)


def test_indices_may_be_text_and_what_does_not_concern_training_is_left_alone():
    values = {
        "cluster": {"worker": list(WORKERS), "ps": []},
        "task": {"type": "worker", "index": "1"},
        "job": {},
    }
    assert cluster_of(multi_worker(), {"TF_CONFIG": json.dumps(values)}).index == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", 'TF_CONFIG is no JSON \\(Expecting property name .*; give .*"cluster"'),
        ("[]", "TF_CONFIG: it is \\[\\], and should be a mapping"),
        ('{"task": {}}', "TF_CONFIG: cluster is missing, and should be a mapping"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG: task is missing"),
        (tf_config(worker="a:1")["TF_CONFIG"], "cluster.worker is 'a:1', and should be a list of addresses"),
        (
            tf_config("ps", ps=["a:1"], worker=["b:1"])["TF_CONFIG"],
            "cluster has ps, but only chief and worker",
        ),
        (tf_config("evaluator")["TF_CONFIG"], "task.type is 'evaluator'; give chief or worker"),
        (tf_config("chief")["TF_CONFIG"], "task.index is 0, and cluster.chief has 0 addresses"),
        (
            tf_config(index=2)["TF_CONFIG"],
            "task.index is 2, and cluster.worker has 2 addresses, counted from 0",
        ),
        (tf_config(index=-1)["TF_CONFIG"], "task.index is -1"),
        (tf_config(index=True)["TF_CONFIG"], "task.index is True"),
        (tf_config(chief=["a:1", "b:1"])["TF_CONFIG"], "cluster.chief has 2 addresses, and there can be one"),
        (tf_config(worker=["a:1", "a:1"])["TF_CONFIG"], "cluster has a:1 twice"),
        (tf_config(worker=["a"])["TF_CONFIG"], "cluster has 'a', which is no host:port"),
        (tf_config(worker=[7])["TF_CONFIG"], "cluster has 7, which is no host:port"),
    ],
)
def test_a_tf_config_that_is_none_is_refused_in_one_line(text, line):
    with pytest.raises(ConfigError, match=line) as refused:
        cluster_of(multi_worker(), {"TF_CONFIG": text})
    assert "\n" not in str(refused.value)


def test_no_cluster_is_refused_and_so_are_two():
    with pytest.raises(ConfigError, match="multi_worker, but there is no cluster; give TF_CONFIG as"):
        cluster_of(multi_worker(), {})
    with pytest.raises(
        ConfigError, match=r"names 2, but not which of them this is; give compute.worker, from 0"
    ):
        cluster_of(multi_worker(workers=WORKERS), {})
    with pytest.raises(ConfigError, match=r"TF_CONFIG makes this worker 0 of .* make it worker 1 of"):
        cluster_of(multi_worker(workers=WORKERS, worker=1), tf_config())


def test_tasks_run_on_the_chief_and_others_join():
    demand_chief(multi_worker(), tf_config())
    demand_chief(
        Compute(), {"TF_CONFIG": "nonsense"}
    )  # which is not looked at where one process trains alone
    assert demand_other_worker(multi_worker(), tf_config(index=1)).address == WORKERS[1]
    with pytest.raises(
        ConfigError, match=r"this is worker 1 \(10.0.0.8:2222\), and tasks run on the chief .* join"
    ):
        demand_chief(multi_worker(), tf_config(index=1))
    with pytest.raises(ConfigError, match=r"this is the chief \(10.0.0.7:2222\).* run --task TrainEBM"):
        demand_other_worker(multi_worker(), tf_config())
    with pytest.raises(ConfigError, match=r"compute.strategy is mirrored, which one process does alone"):
        demand_other_worker(Compute(), {})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("compute.workers=[a:1, b:1]", "compute.strategy is mirrored; set compute.strategy=multi_worker"),
        ("compute.worker=1", "compute.worker is 1, but compute.workers names 0; give both, or neither"),
        ("compute.workers=[a:1, a:1]", "compute.workers has a:1 twice"),
        ("compute.workers=[a:0]", "compute.workers has 'a:0', which is no host:port"),
        ("compute.workers=['a:66000']", "compute.workers has 'a:66000'"),
        ("compute.workers=['[::1]:2222']", r"compute.workers has '\[::1\]:2222'"),
        (
            "compute.devices=[TPU:0]",
            "compute.devices has 'TPU:0', which is no device; give such as GPU:0 or CPU:0",
        ),
        ("compute.devices=[GPU:0, GPU:0]", "compute.devices has GPU:0 twice"),
        ("compute.devices=[GPU:0, CPU:0]", "GPU:0, CPU:0, which mixes CPU and GPU"),
        ("compute.strategy=many", "compute.strategy received 'many'"),
        ("compute.wait_seconds=0", "compute.wait_seconds received 0"),
    ],
)
def test_settings_that_name_no_cluster_are_refused(settings, line):
    with pytest.raises(ConfigError, match=line):
        load_experiment("digits", [settings])


def test_logical_cpus_are_of_one_process():
    given = ["compute.strategy=multi_worker", "compute.logical_cpus=2"]
    with pytest.raises(ConfigError, match=r"compute.logical_cpus is 2, but with multi_worker"):
        load_experiment("digits", given)
