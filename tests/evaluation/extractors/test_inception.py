"""The loader of the reference FID network, on a graph of the same interface whose arithmetic is known.

What is fed is prepared exactly once and as in TensorFlow 1; batches of any size; logits without their bias.
"""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors import inception_graph
from ebm_tf.evaluation.extractors.inception import Inception
from ebm_tf.evaluation.extractors.inception_graph import ARCHIVE_BYTES, GRAPH, URL, VARIABLE, read_graph
from tests.evaluation.extractors.reference_graph import (
    BIASES,
    WEIGHTS,
    expected_features,
    graph_definition,
    resized,
)


@pytest.fixture(scope="module")
def graph():
    return graph_definition().SerializeToString()


@pytest.fixture(scope="module")
def graph_file(graph, tmp_path_factory):
    file = tmp_path_factory.mktemp("inception") / "graph.pb"
    file.write_bytes(graph)
    return file


@pytest.fixture(scope="module")
def inception(graph_file):
    return Inception(graph_file)


def archive(file, members):
    with tarfile.open(file, "w:gz", compresslevel=1) as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return file


def images(count, height=8, width=8, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(8, 8), (32, 20), (299, 299), (400, 310)])
def test_images_are_prepared_once_and_as_in_tensorflow_1(inception, size):
    shown = images(2, *size)
    features = inception(shown).features
    np.testing.assert_allclose(features, expected_features(shown), rtol=1e-4, atol=1e-4)
    if size != (299, 299):
        assert np.abs(features - expected_features(shown, half_pixel=True)).max() > 1e-3


def test_the_resize_that_is_expected_is_that_of_tensorflow_1():
    shown = images(1, 5, 7)
    received = tf.raw_ops.ResizeBilinear(
        images=shown.astype(np.float32), size=[299, 299], align_corners=False, half_pixel_centers=False
    )
    np.testing.assert_allclose(received, resized(shown, 299), atol=1e-3)


def test_an_image_of_the_networks_own_size_meets_only_the_scaling(inception):
    grey = np.full((1, 299, 299, 3), 128, np.uint8)  # 0 after (x - 128) / 128
    np.testing.assert_allclose(inception(grey).features, expected_features(grey), rtol=1e-5, atol=1e-5)
    white = np.full((1, 299, 299, 3), 255, np.uint8)
    np.testing.assert_allclose(inception(white).features, expected_features(white), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_features_do_not_depend_on_the_batch(inception, count):
    shown = images(7)
    alone = np.concatenate([inception(shown[i : i + 1]).features for i in range(7)])
    parts = [inception(shown[i : i + count]) for i in range(0, 7, count)]
    assert [len(part.features) for part in parts] == [min(count, 7 - i) for i in range(0, 7, count)]
    np.testing.assert_allclose(np.concatenate([part.features for part in parts]), alone, rtol=1e-5, atol=1e-6)


def test_logits_are_without_their_bias(inception):
    features, logits = inception(images(3))
    assert features.shape == (3, 2048)
    assert logits.shape == (3, 1008)
    assert features.dtype == logits.dtype == np.float32
    np.testing.assert_allclose(logits, features.astype(np.float64) @ WEIGHTS, rtol=1e-3, atol=1e-3)
    assert BIASES.min() > 10 * np.abs(logits).max()


def test_a_grey_image_is_a_colour_image_of_equal_channels(inception):
    grey = images(3, channels=1)
    for received, expected in zip(inception(grey), inception(np.repeat(grey, 3, axis=-1))):
        np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize(
    "wrong", [images(2).astype(np.float32), images(2, channels=2), images(1)[0], images(0)]
)
def test_other_images_are_refused(inception, wrong):
    with pytest.raises(
        ValueError, match=r"images must be uint8 of shape \[n, H, W, C\], n >= 1, HxWx1 or HxWx3"
    ):
        inception(wrong)


def test_the_identity_is_that_of_the_graph(inception, graph):
    assert inception.identity.as_json() == {
        "name": "inception",
        "version": "2015-12-05",
        "sha256": hashlib.sha256(graph).hexdigest(),
        "input": "uint8 RGB (grey repeated), 0..255; the graph resizes to 299x299 as TensorFlow 1, (x - 128) / 128",
        "features": 2048,
        "classes": 1008,
    }
    assert inception.image_shape is None


def test_the_archive_and_the_graph_in_it_are_one_network(inception, graph, tmp_path, monkeypatch):
    packed = archive(tmp_path / "inception.tgz", {"LICENSE": b"text", f"./{GRAPH}": graph})
    monkeypatch.setenv(VARIABLE, str(packed))
    unpacked = Inception()
    assert unpacked.identity == inception.identity
    np.testing.assert_array_equal(unpacked(images(2)).features, inception(images(2)).features)


def test_a_path_comes_before_the_variable(graph_file, inception, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/no/such/file")
    assert Inception(graph_file).identity == inception.identity


def test_the_note_says_what_is_known_of_the_origin(inception, graph, tmp_path, monkeypatch):
    packed = archive(tmp_path / "inception.tgz", {GRAPH: graph})
    size = packed.stat().st_size
    assert ARCHIVE_BYTES == 88_931_400
    assert read_graph(packed).note == (
        f"The Inception archive has {size:,} bytes, the published one 88,931,400: it is another one."
    )
    monkeypatch.setattr(inception_graph, "ARCHIVE_BYTES", size)
    assert read_graph(packed).note == f"The Inception archive has {size:,} bytes, as the published one."
    assert inception.notes == (
        "The Inception graph was given without its archive, whose size could have been compared.",
    )


def test_a_graph_that_changed_on_disk_is_not_kept_under_the_old_name(graph, tmp_path):
    file = tmp_path / "graph.pb"
    file.write_bytes(graph)
    extractor = Inception(file)
    file.write_bytes(graph + b"\n")
    with pytest.raises(
        MissingInput, match=r"graph\.pb has changed since it was opened: its graph has sha256"
    ):
        extractor.save(tmp_path)


def refusal(file, content=None):
    """What is said of a file; it always ends with how to get the right one."""
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MissingInput) as caught:
        Inception(file)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(
        f"; download {URL} (88,931,400 bytes) and give its path, or that of the {GRAPH} in it, as extractor.path or "
        "in the environment variable EBM_INCEPTION"
    )
    return text


def test_no_file_says_how_to_get_it(tmp_path, monkeypatch):
    assert f"the inception network is not there: no file {tmp_path}/absent.pb" in refusal(
        tmp_path / "absent.pb"
    )
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "the inception network is not given" in refusal(None)


def test_an_archive_without_the_graph(tmp_path):
    assert "other.tgz holds no classify_image_graph_def.pb" in refusal(
        archive(tmp_path / "other.tgz", {"a": b"b"})
    )


def test_a_truncated_archive(graph, tmp_path):
    whole = archive(tmp_path / "whole.tgz", {GRAPH: graph}).read_bytes()
    assert "cannot read the inception network" in refusal(tmp_path / "part.tgz", whole[: len(whole) // 2])


def test_a_truncated_graph(graph, tmp_path):
    assert "part.pb is no TensorFlow graph, or only a part of one" in refusal(
        tmp_path / "part.pb", graph[: len(graph) // 2]
    )


def test_an_empty_graph_and_one_without_the_tensor(tmp_path):
    assert "empty.pb is not the inception network: it has no ExpandDims, ResizeBilinear, pool_3" in refusal(
        tmp_path / "empty.pb", b""
    )
    assert "it has no pool_3;" in refusal(
        tmp_path / "other.pb", graph_definition(pool="pool_4").SerializeToString()
    )


def test_other_shapes(tmp_path):
    few = graph_definition(weights=WEIGHTS[:, :1000]).SerializeToString()
    assert (
        "pool_3:0 must be of shape [n, 1, 1, 2048] and the weights of softmax/logits/MatMul [2048, 1008]; received "
    ) in (text := refusal(tmp_path / "few.pb", few))
    assert "and [2048, 1000]" in text


@pytest.mark.parametrize("spoilt", ["size", "half_pixel_centers", "align_corners", "bypassed"])
def test_a_graph_that_resizes_otherwise(tmp_path, spoilt):
    definition = graph_definition(size=(224, 224) if spoilt == "size" else (299, 299))
    (resize,) = (node for node in definition.node if node.name == "ResizeBilinear")
    if spoilt == "bypassed":
        resize.input[0] = "Cast"
    elif spoilt != "size":
        resize.attr[spoilt].b = True
    assert "its ResizeBilinear must take ExpandDims to 299x299 as in TensorFlow 1" in refusal(
        tmp_path / "graph.pb", definition.SerializeToString()
    )


def test_operations_that_tensorflow_does_not_know(tmp_path):
    definition = graph_definition()
    (node,) = (node for node in definition.node if node.name == "conv")
    node.op = "Unheard"
    assert "graph.pb cannot be loaded by TensorFlow: " in refusal(
        tmp_path / "graph.pb", definition.SerializeToString()
    )
