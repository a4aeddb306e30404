"""Samples drawn in shards and put together: the same files, byte by byte, as of samples drawn in one task."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ebm_tf.config import Augmentation, Langevin, Model, Sampling
from ebm_tf.errors import EBMError, MissingInput
from tests.damage import cut
from tests.file_trees import contents
from tests.stages.running import run_stage
from tests.stages.small_models import (
    SEED,
    SHAPE,
    SNGAN_SETTINGS,
    data_in,
    energy_model_in,
    generator_in,
)

SMALL = {"count": 13, "steps": 4, "buffer_steps": 2, "batch_size": 3, "film_chains": 2, "film_frames": 3}
LANGEVIN = Langevin(steps=3, step_size=0.5, noise_scale=0.01)
GENTLE = Langevin(steps=3, step_size=1e-6, noise_scale=0.01)  # mala accepts some of it and refuses some


class Lot:
    """One experiment's samples, drawn whole and in shards; `changes` make it differ from the default one."""

    def __init__(self, folder, inputs, changes):
        self.folder, self.inputs, self.changes = folder, inputs, changes
        self.shards, self.said = {}, {}

    def whole(self):
        return run_stage("GenerateSamples", self.folder / "whole", self.inputs, **self.changes)

    def draw(self, size):
        """Draw all shards of that size, in tasks of their own."""
        for number, first in enumerate(range(0, 13, size), start=1):
            name, changes = f"shard {number}", {**self.changes, "shard": [first, min(size, 13 - first)]}
            self.shards[name], self.said[name] = run_stage(
                "DrawSamples", self.folder / name, self.inputs, **changes
            )

    def merged(self):
        inputs = {**self.inputs, **self.shards}
        return run_stage("GenerateSamples", self.folder / "merged", inputs, **self.changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_in(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of an unconditional and a conditional model, by whether they are."""
    labels = {False: np.full(30, -1), True: np.repeat([0, 1, 2], 10)}
    return {
        conditional: energy_model_in(
            tmp_path_factory.mktemp("trained"),
            Model(architecture="tiny", conditional=conditional),
            labels[conditional],
        )
        for conditional in labels
    }


@pytest.fixture(scope="module")
def lot(tmp_path_factory, data, trained):
    def of(conditional=False, langevin=LANGEVIN, augmentation=None, **sampling):
        folder, model = trained[conditional]
        changes = {"model": model, "langevin": langevin, "augmentation": augmentation or Augmentation()}
        changes |= {"seed": SEED, "sampling": Sampling(**{**SMALL, **sampling})}
        return Lot(tmp_path_factory.mktemp("lot"), {"PrepareDataset": data, "TrainEBM": folder}, changes)

    return of


@pytest.fixture(scope="module")
def plain(lot):
    """A lot without anything special, whole and in shards of 6, 6 and 1; not to be changed."""
    made = lot()
    made.whole()
    made.draw(6)
    return made


@pytest.fixture
def drawn(tmp_path, plain):
    """Shards of its own, of the same lot."""
    made = Lot(tmp_path / "lot", plain.inputs, plain.changes)
    made.shards = {name: shutil.copytree(shard, tmp_path / name) for name, shard in plain.shards.items()}
    return made


def test_shards_come_together_to_the_same_bytes(plain, drawn):
    """Also of a last shard, and a last batch, that are smaller than the others."""
    merged, said = drawn.merged()
    assert contents(merged) == contents(plain.folder / "whole" / "out")
    assert [event["message"] for event in said] == ["merged fresh of 3 shards", "merged buffer of 3 shards"]


@pytest.mark.parametrize(
    "case",
    [
        {"conditional": True, "labels": (2, 0), "langevin": GENTLE, "sampler": "mala", "temperature": 1e-5},
        pytest.param({"conditional": True}, marks=pytest.mark.slow),
        pytest.param({"augmentation": Augmentation(flip=True), "augment_every": 2}, marks=pytest.mark.slow),
        pytest.param({"batch_size": 6}, marks=pytest.mark.slow),
        pytest.param({"seed": 77, "buffer_steps": 0}, marks=pytest.mark.slow),
    ],
    ids=["mala of some classes", "conditional", "augmented", "one batch each", "stored chains"],
)
def test_so_they_do_whatever_is_drawn(lot, case):
    lot = lot(**case)
    whole, _ = lot.whole()
    lot.draw(6)
    merged, _ = lot.merged()
    assert contents(merged) == contents(whole)
    assert len(lot.shards) == 3


def test_the_baseline_in_shards_too(tmp_path, data):
    (tmp_path / "sngan").mkdir()
    inputs = {"PrepareDataset": data, "TrainSNGAN": generator_in(tmp_path / "sngan")}
    changes = {"seed": SEED, "sngan": SNGAN_SETTINGS}
    changes["sampling"] = Sampling(source="sngan", count=13, batch_size=3)
    lot = Lot(tmp_path, inputs, changes)
    whole, _ = lot.whole()
    lot.draw(6)
    assert contents(lot.merged()[0]) == contents(whole)


def test_a_shard_holds_its_rows_and_tells_how_far_it_is(plain):
    out, said = plain.shards["shard 2"], plain.said["shard 2"]
    assert {path.name for path in out.iterdir()} == {"fresh.npy", "buffer.npy", "shard.json"}
    assert json.loads((out / "shard.json").read_text()) == {"first": 6, "count": 6}
    for kind in ("fresh", "buffer"):
        with np.load(plain.folder / "whole" / "out" / f"{kind}.npz", allow_pickle=False) as all_of_them:
            rows = np.load(out / f"{kind}.npy", allow_pickle=False)
            np.testing.assert_array_equal(rows, all_of_them["images"][6:12])
    assert {event["total"] for event in said} == {6 * (4 + 2)}
    assert said[-1]["done"] == 36
    assert [event["done"] for event in said] == sorted(event["done"] for event in said)


def test_of_samples_drawn_in_one_task_nothing_is_left_beside_them(plain):
    assert list((plain.folder / "whole" / "work").iterdir()) == []


class TestRefused:
    def test_a_missing_shard(self, drawn):
        del drawn.shards["shard 2"]
        with pytest.raises(
            MissingInput,
            match="the shards hold the samples 0 to 5, 12 to 12, not 0 to 12; rebuild them with --force",
        ):
            drawn.merged()

    def test_the_same_shard_twice(self, drawn):
        drawn.shards["shard 3"] = drawn.shards["shard 2"]
        with pytest.raises(
            MissingInput, match="the shards hold the samples 0 to 5, 6 to 11, 6 to 11, not 0 to 12"
        ):
            drawn.merged()

    @pytest.mark.parametrize("name", ["fresh.npy", "shard.json"])
    def test_a_shard_that_is_cut_short(self, drawn, name):
        cut(drawn.shards["shard 2"] / name)
        with pytest.raises(
            MissingInput, match=rf"cannot read .*{name} of a shard: .*; rebuild it with --force Draw"
        ):
            drawn.merged()

    def test_a_shard_of_other_images(self, drawn):
        np.save(drawn.shards["shard 2"] / "buffer.npy", np.zeros((6, 9, *SHAPE[1:]), np.uint8))
        with pytest.raises(
            MissingInput, match=r"it holds uint8 of shape \(6, 9, 8, 1\), not uint8 of \(6, 8, 8, 1\)"
        ):
            drawn.merged()

    def test_samples_that_are_all_the_same_over_all_shards(self, drawn):
        for number, shard in enumerate(drawn.shards.values()):
            images = np.load(shard / "fresh.npy", allow_pickle=False)
            np.save(shard / "fresh.npy", np.full_like(images, 9))
            if number == 1:
                break
        drawn.merged()
        np.save(drawn.shards["shard 3"] / "fresh.npy", np.full((1, *SHAPE), 9, np.uint8))
        drawn.folder = drawn.folder / "again"
        with pytest.raises(
            EBMError, match="all 13 fresh samples are the same image: the model has collapsed"
        ):
            drawn.merged()
