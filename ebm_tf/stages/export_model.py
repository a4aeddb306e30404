"""ExportModel: the trained model as a folder that stands by itself.

saved_model/        signatures energy, score, sample, refine; checked by a process that cannot import this project
keras/              the same energy as a network of Keras's own layers: network.json, energy.weights.h5
model.json, average.weights.h5   what training can start from (training.initial_model)
signature.json      what a program has to know of it (see ebm_tf/signature.py)
MODEL_CARD.md       what people have to know
"""

from __future__ import annotations

import shutil

import numpy as np

from ebm_tf import __version__
from ebm_tf.config import chain_of_samples
from ebm_tf.datasets.store import Store
from ebm_tf.demands import temperature_fits
from ebm_tf.export import SIGNATURES, check_export, check_plain, export
from ebm_tf.initial import WEIGHTS
from ebm_tf.model_card import CARD, Facts, model_card
from ebm_tf.models.card import MODEL_CARD
from ebm_tf.models.energy import EnergyModel, load_energy_model, save_model_card
from ebm_tf.plain_keras import in_full_precision, plain_model, write_plain
from ebm_tf.sampling_settings import decimal_of, method_of
from ebm_tf.signature import SAVED_MODEL, ChainDefaults, Function, Images, Signature, digests
from ebm_tf.stages.context import Context

KERAS = "keras"
OF_PROGRAMS = (SAVED_MODEL, KERAS, MODEL_CARD, WEIGHTS)
"""Files and folders whose sha256 signature.json has."""


def run(context: Context) -> None:
    manifest = Store(context.inputs["PrepareDataset"]).manifest
    settings, sampling = context.section("model"), context.section("sampling")
    weights = context.inputs["TrainEBM"] / f"{sampling.weights}.weights.h5"
    classes = len(manifest.classes) if settings.conditional else 0
    model = load_energy_model(settings, manifest.shape, weights, classes)
    context.progress(0, 3, "writing the SavedModel")
    chain, functions = _write_saved_model(context, model)
    context.progress(1, 3, "checking it in a process without this project")
    random = np.random.default_rng(0)
    images = random.random((5, *manifest.shape), dtype=np.float32)
    labels = random.integers(model.classes, size=5, dtype=np.int32) if model.classes else None
    differences = check_export(context.out / SAVED_MODEL, model, images, labels, settings.precision)
    context.progress(2, 3, "writing it for Keras and for training, with its card")
    full = in_full_precision(model, settings)
    plain = plain_model(full)
    differences["keras"] = check_plain(plain, full, images, labels)
    write_plain(plain, context.out / KERAS)
    save_model_card(context.out, settings, manifest.shape, classes)
    shutil.copyfile(weights, context.out / WEIGHTS)
    signature = Signature(
        made_by=f"ebm_tf {__version__}",
        images=Images(shape=manifest.shape, levels=manifest.levels),
        classes=tuple(manifest.classes) if model.classes else (),
        weights=sampling.weights,
        chain=chain,
        signatures=functions,
        files=digests(context.out, OF_PROGRAMS),
    )
    trained = context.read_json("TrainEBM", "params.json")
    data = context.read_json("PrepareDataset", "params.json")["settings"]
    size = model.count_params()
    facts = Facts(signature, manifest, settings, size, data, trained, context.fingerprint, differences)
    (context.out / CARD).write_text(model_card(facts), encoding="utf-8")
    told = {"signatures": list(SIGNATURES), "classes": list(signature.classes)}
    context.write_json("metrics.json", {**told, "largest_difference": differences})
    signature.write(context.out)


def _write_saved_model(context: Context, model: EnergyModel) -> tuple[ChainDefaults, dict[str, Function]]:
    """Returns what its chains are, and what its signatures take and give."""
    sampling, langevin = context.section("sampling"), context.section("langevin")
    temperature_fits(sampling, langevin)
    method = method_of(sampling, langevin, sampling.steps)
    functions = export(model, method, context.out / SAVED_MODEL)
    step_size, noise_scale = chain_of_samples(sampling, langevin)
    chain = ChainDefaults(
        sampler=sampling.sampler,
        steps=sampling.steps,
        step_size=step_size,
        noise_scale=noise_scale,
        anneal=langevin.anneal,
        gradient_clip=langevin.gradient_clip,
        temperature=None if method.temperature is None else decimal_of(method.temperature),
        batch_size=sampling.batch_size,
    )
    return chain, functions
