"""Exported folders of models that nobody trained, on images of 8x8."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebm_tf.config import Langevin, Model, Sampling
from ebm_tf.export import export
from ebm_tf.files import sha256_of
from ebm_tf.models.energy import EnergyModel, load_trained, save_model_card
from ebm_tf.plain_keras import plain_model, write_plain
from ebm_tf.signature import Signature, digests
from ebm_tf.stages import export_model
from tests.stages.small_models import CLASSES, LEVELS, SHAPE, data_in, energy_model_in, run_stage

LANGEVIN = Langevin(steps=3, step_size=0.5, noise_scale=0.01)
SAMPLING = Sampling(steps=4, batch_size=5)
SETTINGS = ("weights", "steps", "step_size", "noise_scale", "batch_size")


def network(conditional: bool) -> Model:
    """The settings of the models here."""
    return Model(architecture="tiny", conditional=conditional)


def trained_in(folder: Path, conditional: bool) -> Path:
    """What TrainEBM publishes, as far as others read it; returns the folder."""
    folder.mkdir(parents=True)
    settings = network(conditional)
    energy_model_in(folder, settings, np.repeat([0, 1, 2], 10) if conditional else np.full(30, -1))
    save_model_card(folder, settings, SHAPE, len(CLASSES) if conditional else 0)
    files = ["average.weights.h5", "model.json"]
    return record_in(folder, "TrainEBM", {"seed": 0, "training": {"steps": 7}}, files)


def record_in(folder: Path, task: str, settings: dict[str, Any], files: Sequence[str] = ()) -> Path:
    """Write params.json as an artifact has it; returns the folder."""
    record = {
        "task": task,
        "fingerprint": "ab" * 32,
        "settings": settings,
        "git_revision": None,
        "files": {name: {"sha256": sha256_of(folder / name)} for name in files},
    }
    (folder / "params.json").write_text(json.dumps(record))
    return folder


def exported(folder: Path, conditional: bool) -> Path:
    """An exported folder, by the stage; in `folder` is `trained`, which it was made from."""
    (folder / "data").mkdir()
    data = record_in(data_in(folder / "data"), "PrepareDataset", {"dataset": {"name": "digits"}})
    settings = {
        "model": network(conditional).model_dump(),
        "langevin": LANGEVIN.model_dump(),
        "sampling": {key: getattr(SAMPLING, key) for key in SETTINGS},
    }
    inputs = {"TrainEBM": trained_in(folder / "trained", conditional), "PrepareDataset": data}
    out, _ = run_stage(export_model, "ExportModel", folder / "stage", settings, inputs)
    return out


def unchecked(folder: Path, conditional: bool) -> tuple[Path, EnergyModel]:
    """An exported folder without a card, quicker to make; and the model that it is of."""
    model = load_trained(trained_in(folder / "trained", conditional))
    out = folder / "out"
    functions = export(model, LANGEVIN.step_size, LANGEVIN.noise_scale, out / "saved_model")
    write_plain(plain_model(model), out / "keras")
    signature_of(out, functions, model.classes).write(out)
    return out, model


def signature_of(folder: Path, functions: Any, classes: int) -> Signature:
    """What such a folder says of itself."""
    chain = {"step_size": LANGEVIN.step_size, "noise_scale": LANGEVIN.noise_scale, "anneal": False}
    return Signature(
        made_by="a test",
        images={"shape": SHAPE, "levels": LEVELS},
        classes=CLASSES if classes else (),
        weights="average",
        chain={**chain, "gradient_clip": None, "steps": SAMPLING.steps, "batch_size": SAMPLING.batch_size},
        signatures=functions,
        files=digests(folder, sorted(path.name for path in folder.iterdir())),
    )
