"""What is said, and how soon, when a data set is not there: hosts, proxies, files placed by hand."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ebm_tf.config import Dataset
from ebm_tf.datasets import fetching
from ebm_tf.datasets.fetching import fetch, unreachable
from ebm_tf.datasets.registry import source
from ebm_tf.datasets.store import Store
from ebm_tf.datasets.writing import write_store
from ebm_tf.errors import MissingInput


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Every host is asked for by way of a proxy that is not there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
    return port


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def fetched(name, folder):
    dataset = Dataset(name=name)
    builder = source(name).builder(dataset, str(folder))
    fetch(builder, name, source(name).download, lambda message: None)
    return builder


def test_a_host_that_listens_is_reached_and_one_that_does_not_is_not(monkeypatch, listening, offline):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    there, gone = f"http://127.0.0.1:{listening}", f"http://127.0.0.1:{offline}"
    assert unreachable([there, gone]) == [gone]


def test_a_proxy_stands_for_every_host(monkeypatch, listening):
    assert unreachable(["https://data.invalid"]) == ["https://data.invalid"]
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{listening}")
    assert unreachable(["https://data.invalid"]) == []


def test_a_host_that_never_answers_costs_only_the_time_given(monkeypatch):
    def silent(*_, **__):
        time.sleep(60)
        raise TimeoutError("nobody answered")  # as the real one ends: its thread outlives this test

    monkeypatch.setattr(fetching.socket, "create_connection", silent)
    began = time.monotonic()
    assert unreachable(["http://a.invalid", "http://b.invalid"], seconds=0.2) == [
        "http://a.invalid",
        "http://b.invalid",
    ]
    assert time.monotonic() - began < 30, "two look-ups of a minute each were waited for"


def test_no_network_says_where_files_may_be_put(tmp_path):
    with pytest.raises(MissingInput) as raised:
        fetched("cifar10", tmp_path)
    assert str(raised.value) == (
        f"cifar10 is not in {tmp_path}, and https://www.cs.toronto.edu cannot be reached to download it (about 163 "
        f"MiB); go online, or put cifar-10-binary.tar.gz into {tmp_path}/downloads/manual, or give the folder that "
        "has it as compute.data_dir"
    )
    assert not list(tmp_path.iterdir())


def test_a_file_put_by_hand_that_is_not_the_right_one(tmp_path):
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    (tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz").write_bytes(b"not it")
    with pytest.raises(
        MissingInput, match=r"cannot fetch and prepare cifar10 \(NonMatchingChecksumError: .*\)"
    ) as raised:
        fetched("cifar10", tmp_path)
    assert "\n" not in str(raised.value)
    assert not tfds.builder("cifar10", data_dir=str(tmp_path)).is_prepared()


def test_celeba_hq_says_which_file_goes_where(tmp_path):
    with pytest.raises(
        MissingInput,
        match=r"celeb_a_hq/128 has to be fetched by hand: put data128x128\.tar \(a tar file .*progressive_growing"
        rf".*\) into {tmp_path}/downloads/manual",
    ):
        fetched("celeb_a_hq/128", tmp_path)


def test_celeba_hq_put_by_hand_is_read_by_tfds(tmp_path):
    """The real builder on a tar file of the form that it asks for."""
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    values = range(0, 200, 10)
    with tarfile.open(tmp_path / "downloads" / "manual" / "data128x128.tar", "w") as archive:
        for value in values:
            png = io.BytesIO()
            Image.new("RGB", (128, 128), (value, 0, 0)).save(png, "PNG")
            entry = tarfile.TarInfo(f"data128x128/{value:05d}.png")
            entry.size = len(png.getvalue())
            archive.addfile(entry, io.BytesIO(png.getvalue()))
    (tmp_path / "out").mkdir()
    write_store(Dataset(name="celeb_a_hq/128"), str(tmp_path), tmp_path, tmp_path / "out", lambda *at: None)
    store = Store(tmp_path / "out")
    reds = np.concatenate([store.images(split)[:, 5, 5, 0] for split in ("train", "test")])
    assert sorted(reds.tolist()) == list(values)


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    words = (
        r"by the package tensorflow_io, which is not installed; pip install --no-deps tensorflow-io==0\.36\.0"
    )
    with pytest.raises(MissingInput, match=f"TFDS reads lsun/bedroom {words}"):
        fetched("lsun/bedroom", tmp_path)


def test_too_little_disk_for_the_download(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: SimpleNamespace(free=100 << 20))
    with pytest.raises(
        MissingInput, match=r"cifar10 takes about 326 MiB .* and 100 MiB are free at .*compute\.data_dir"
    ):
        fetched("cifar10", tmp_path)


def test_a_data_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingInput, match=r"compute\.data_dir .*file/tfds cannot be used: "):
        fetched("mnist", tmp_path / "file" / "tfds")
