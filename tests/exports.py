"""Exported folders of models that nobody trained, on images of 8x8."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebm_tf.config import Langevin, Model, Sampling, chain_of_samples
from ebm_tf.export import export
from ebm_tf.files import sha256_of
from ebm_tf.models.energy import EnergyModel, load_trained
from ebm_tf.plain_keras import plain_model, write_plain
from ebm_tf.sampling_settings import method_of
from ebm_tf.signature import Signature, digests
from tests.stages.running import run_stage
from tests.stages.small_models import CLASSES, LEVELS, SHAPE, data_in, energy_model_in

LANGEVIN = Langevin(steps=3, step_size=0.5, noise_scale=0.01)
SAMPLING = Sampling(steps=4, batch_size=5)


def network(conditional: bool) -> Model:
    """The settings of the models here."""
    return Model(architecture="tiny", conditional=conditional)


def trained_in(folder: Path, conditional: bool) -> Path:
    """What TrainEBM publishes, as far as others read it; returns the folder."""
    labels = np.repeat([0, 1, 2], 10) if conditional else np.full(30, -1)
    energy_model_in(folder, network(conditional), labels)
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


def exported(folder: Path, conditional: bool, sampling: Sampling = SAMPLING) -> Path:
    """An exported folder, by the stage; in `folder` is `trained`, which it was made from."""
    (folder / "data").mkdir()
    data = record_in(data_in(folder / "data"), "PrepareDataset", {"dataset": {"name": "digits"}})
    inputs = {"TrainEBM": trained_in(folder / "trained", conditional), "PrepareDataset": data}
    changes = {"model": network(conditional), "langevin": LANGEVIN, "sampling": sampling}
    out, _ = run_stage("ExportModel", folder / "stage", inputs, **changes)
    return out


def unchecked(folder: Path, conditional: bool, sampling: Sampling = SAMPLING) -> tuple[Path, EnergyModel]:
    """An exported folder without a card, quicker to make; and the model that it is of."""
    model = load_trained(trained_in(folder / "trained", conditional))
    out = folder / "out"
    functions = export(model, method_of(sampling, LANGEVIN, 1), out / "saved_model")
    write_plain(plain_model(model), out / "keras")
    signature_of(out, functions, model.classes, sampling).write(out)
    return out, model


def signature_of(folder: Path, functions: Any, classes: int, sampling: Sampling = SAMPLING) -> Signature:
    """What such a folder says of itself."""
    step_size, noise_scale = chain_of_samples(sampling, LANGEVIN)
    own = {key: getattr(sampling, key) for key in ("sampler", "temperature", "steps", "batch_size")}
    chain = {"step_size": step_size, "noise_scale": noise_scale, "anneal": False, "gradient_clip": None}
    return Signature(
        made_by="a test",
        images={"shape": SHAPE, "levels": LEVELS},
        classes=CLASSES if classes else (),
        weights="average",
        chain={**chain, **own},
        signatures=functions,
        files=digests(folder, sorted(path.name for path in folder.iterdir())),
    )
