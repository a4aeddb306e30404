"""One command per data set of the paper: each config trains on data of the true shape, and says what is missing.

The data are records of TFDS that its real builders wrote from random images; nothing here asks the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config_files import available_configs, load_experiment
from ebm_tf.datasets.registry import source
from ebm_tf.nested import flat
from tests.datasets.test_idx import idx
from tests.datasets.tfds_files import prepare
from tests.evaluation.extractors.reference_graph import graph_definition

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = [
    "training.steps=3", "training.batch_size=4", "langevin.steps=2", "model.width=0.125", "loss.entropy=0",
    "replay.capacity=50", "training.grid_every=3", "selection.every=0",
]  # fmt: skip
DOWNLOADED = [
    "mnist", "fashion_mnist", "cifar10", "cifar10_released_code", "cifar10_conditional", "imagenet32", "celeba_hq128",
    "celeba_hq128_released_code", "lsun_bedroom128", "svhn",
]  # fmt: skip
OWN_FILES = ["fashion_mnist_idx", "folder", "tiles"]
FAST_WITHOUT_DATA = {"mnist", "celeba_hq128"}
SECONDS_WITHOUT_NETWORK = 30


def tiers(names, fast):
    """Some at each run of the tests, the others in the slow tier."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


def run(task, config, root, *settings, timeout=600):
    """Exit code, the JSON object on stdout, and stderr of the command, with no network to be had."""
    sets = [part for setting in settings for part in ("--set", setting)]
    command = [
        sys.executable,
        "cli.py",
        "run",
        "--task",
        task,
        "--config",
        config,
        "--root",
        str(root),
        *sets,
    ]
    done = subprocess.run(
        [*command, "--json"],
        cwd=REPOSITORY,
        env=offline(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def offline():
    """An environment in which every host is behind a proxy that is not there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "http_proxy": proxy, "https_proxy": proxy, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}


def own_files(name, folder):
    """Files for the configs that read a user's own."""
    folder.mkdir()
    random = np.random.default_rng(0)
    if name == "fashion_mnist_idx":
        for split, count in (("train", 12), ("t10k", 6)):
            images = random.integers(0, 256, (count, 28, 28), np.uint8)
            (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))
        return
    for index in range(8):
        Image.fromarray(random.integers(0, 256, (70, 100, 3), np.uint8)).save(folder / f"{index}.png")


def assert_trained(root, name, outcome):
    made = Path(outcome["artifact"])
    assert (made / "average.weights.h5").is_file()
    assert json.loads((made / "metrics.json").read_text())["steps"] == 3
    manifest = json.loads((root / "runs" / name / "PrepareDataset" / "manifest.json").read_text())
    experiment = load_experiment(name)
    native = source(experiment.dataset.name).native
    size = experiment.dataset.size or native.height
    assert manifest["shape"][:2] == [size, size]


@pytest.mark.slow
@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_config_of_a_downloaded_set_trains(name, tmp_path):
    prepare(load_experiment(name).dataset.name, tmp_path / "tfds")
    code, outcome, errors = run(
        "TrainEBM", name, tmp_path / "root", f"compute.data_dir={tmp_path / 'tfds'}", *TINY
    )
    assert code == 0, errors
    assert_trained(tmp_path / "root", name, outcome)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters"), [("cifar10", 13_601_579), ("celeba_hq128", 56_252_355)])
def test_the_tables_of_the_paper_train_at_full_width(name, parameters, tmp_path):
    prepare(load_experiment(name).dataset.name, tmp_path / "tfds")
    whole = [*TINY, "model.width=1", "training.batch_size=2"]
    code, outcome, errors = run(
        "TrainEBM", name, tmp_path / "root", f"compute.data_dir={tmp_path / 'tfds'}", *whole, timeout=1500
    )
    assert code == 0, errors
    assert_trained(tmp_path / "root", name, outcome)
    metrics = json.loads((Path(outcome["artifact"]) / "metrics.json").read_text())
    assert metrics["parameters"] == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celeba_hq128", "cifar10"])
def test_samples_are_judged_by_the_reference_network(name, tmp_path, monkeypatch):
    """By a graph of its interface, without labels too; and without a graph nothing is run in vain."""
    prepare(load_experiment(name).dataset.name, tmp_path / "tfds", count=60)
    brief = [
        *TINY, f"compute.data_dir={tmp_path / 'tfds'}", "sampling.steps=2", "sampling.buffer_steps=1",
        "sampling.count=8",
        "evaluation.baseline_count=8", "evaluation.kid_subsets=2", "evaluation.bootstrap=5", "neighbours.k=2",
    ]  # fmt: skip
    monkeypatch.delenv("EBM_INCEPTION", raising=False)
    code, refused, _ = run("EvaluateFID", name, tmp_path / "root", *brief)
    assert code == 4
    assert "EBM_INCEPTION" in refused["error"]
    assert not (tmp_path / "root" / "artifacts").exists(), "nothing is run in vain"
    graph = tmp_path / "graph.pb"
    graph.write_bytes(graph_definition().SerializeToString())
    monkeypatch.setenv("EBM_INCEPTION", str(graph))
    code, outcome, errors = run("EvaluateFID", name, tmp_path / "root", *brief)
    assert code == 0, errors
    judged = outcome["metrics"]
    assert judged["protocol"]["extractor"]["name"] == "inception"
    assert judged["protocol"]["extractor"]["sha256"] == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert judged["protocol"]["extractor"]["features"] == 2048
    assert judged["frechet_distance"]["fresh"] > 0
    assert judged["inception_score"]["fresh"] is None, "8 samples are too few for 10 splits"
    assert any("fewer than the 2048 features" in warning for warning in judged["warnings"])


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_FILES)
def test_a_config_of_own_files_trains(name, tmp_path):
    own_files(name, tmp_path / "files")
    code, outcome, errors = run(
        "TrainEBM", name, tmp_path / "root", f"dataset.path={tmp_path / 'files'}", *TINY
    )
    assert code == 0, errors
    if name == "fashion_mnist_idx":
        assert json.loads((tmp_path / "root/runs" / name / "PrepareDataset/manifest.json").read_text())[
            "shape"
        ] == [28, 28, 1]
    else:
        assert_trained(tmp_path / "root", name, outcome)


@pytest.mark.parametrize("name", tiers(DOWNLOADED, FAST_WITHOUT_DATA))
def test_a_config_without_its_data_says_so_in_a_line(name, tmp_path):
    """The limit is the promise that users are made; TFDS itself would go on for minutes."""
    code, outcome, _ = run(
        "TrainEBM",
        name,
        tmp_path,
        f"compute.data_dir={tmp_path / 'tfds'}",
        timeout=SECONDS_WITHOUT_NETWORK * 4,
    )
    assert code == 4
    assert "\n" not in outcome["error"]
    download = source(load_experiment(name).dataset.name).download
    assert download.files[0] in outcome["error"] or download.package[1] in outcome["error"]
    assert outcome["seconds"] < SECONDS_WITHOUT_NETWORK
    assert not list((tmp_path / "artifacts" / "PrepareDataset").glob("[0-9a-f]*")), "nothing is half written"


@pytest.mark.parametrize(
    ("variant", "paper", "fields"),
    [
        (
            "cifar10_released_code",
            "cifar10",
            {
                "name", "model.drop", "langevin.step_size", "replay.restart_probability", "augmentation.crop_area",
                "augmentation.hue", "training.ema_decay",
            },
        ),
        (
            "celeba_hq128_released_code",
            "celeba_hq128",
            {
                "name", "model.architecture", "model.drop", "langevin.step_size", "replay.restart_probability",
                "augmentation.hue", "training.ema_decay",
            },
        ),
    ],
)  # fmt: skip
def test_the_released_code_differs_from_the_paper_in_these_fields_alone(variant, paper, fields):
    one, other = (dict(flat(load_experiment(name).model_dump())) for name in (variant, paper))
    assert {path for path in one if one[path] != other[path]} == fields


PAPER = {
    "cifar10": ("cifar10", "table1", 3, 500, 0.02, 1.0),
    "imagenet32": ("imagenet_resized/32x32", "table1", 3, 500, 0.02, 1.0),
    "celeba_hq128": ("celeb_a_hq/128", "table2", 3, 1000, 0.08, 1.0),
    "lsun_bedroom128": ("lsun/bedroom", "table2", 3, 1000, 0.08, 1.0),
    "mnist": ("mnist", "mnist", 1, 100, 1.0, 0.0),
}
"""Of each config: data set, net, scales, lambda, least crop area, strength of colour."""


@pytest.mark.parametrize("name", PAPER)
def test_a_config_has_the_papers_values(name):
    made = load_experiment(name)
    assert PAPER[name] == (
        made.dataset.name,
        made.model.architecture,
        made.model.scales,
        made.langevin.step_size,
        made.augmentation.crop_area,
        made.augmentation.colour_strength,
    )
    assert (made.langevin.steps, made.langevin.noise_scale, made.training.batch_size) == (40, 0.001, 128)
    optimiser = made.optimiser
    assert (optimiser.learning_rate, optimiser.beta_1, optimiser.beta_2) == (2e-4, 0.0, 0.9)
    assert optimiser.clip_norm == 0.5
    assert made.augmentation.flip is (made.augmentation.colour_strength > 0)


def test_cifar10_is_told_from_the_papers_three_sets():
    assert [one.name for one in load_experiment("cifar10").ood.datasets] == [
        "svhn_cropped",
        "dtd",
        "cifar100",
    ]


@pytest.mark.parametrize("name", [*DOWNLOADED, *OWN_FILES])
def test_a_config_opens_with_what_a_reader_needs(name):
    head = available_configs()[name].read_text(encoding="utf-8").split("extends:")[0]
    for word in ("# Reproduces: ", "# Expect: ", "# Cost: ", "# Command: python cli.py run --task "):
        assert word in head
    assert f"--config {name}" in head
    assert load_experiment(name).name == name
