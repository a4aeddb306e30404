"""GenerateSamples: images from fresh chains and from the replay buffer, with the averaged weights."""

from __future__ import annotations

import numpy as np

from ebm_tf.config import chain_of_samples
from ebm_tf.datasets.store import Store
from ebm_tf.errors import EBMError
from ebm_tf.figures import save_film, save_grid
from ebm_tf.langevin import Chain, chain_settings
from ebm_tf.models.energy import EnergyModel, load_energy_model
from ebm_tf.sampling import film, run_chains, to_uint8, uniform_noise
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    settings, seed = context.section("sampling"), context.section("seed")
    step_size, noise_scale = chain_of_samples(settings, context.section("langevin"))
    manifest = Store(context.inputs["PrepareDataset"]).manifest
    trained = context.inputs["TrainEBM"]
    model = load_energy_model(context.section("model"), manifest.shape, trained / "average.weights.h5")
    random = np.random.default_rng([seed, 1])
    stored = np.load(trained / "replay.npz", allow_pickle=False)["images"]
    kinds = {
        "fresh": (settings.steps, uniform_noise(settings.count, manifest.shape, seed)),
        "buffer": (settings.buffer_steps, _from_buffer(stored, settings.count, random)),
    }
    for index, (kind, (steps, start)) in enumerate(kinds.items()):
        chain = chain_settings(steps, step_size, noise_scale)

        def report(done: int, total: int, index: int = index, kind: str = kind) -> None:
            context.progress(index * total + done, len(kinds) * total, f"{kind} chains")

        ends = run_chains(model, start, chain, 2 * seed + index, settings.batch_size, report)
        drawn = {"steps": steps, "step_size": step_size, "noise_scale": noise_scale, "seed": seed}
        _write(context, kind, to_uint8(ends, manifest.levels), drawn)
    fresh = chain_settings(settings.steps, step_size, noise_scale)
    _write_film(context, model, kinds["fresh"][1][: settings.film_chains], fresh, manifest.levels)


def _from_buffer(stored: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Starts of chains: different stored images as far as there are enough, dequantised."""
    chosen = random.choice(len(stored), count, replace=count > len(stored))
    noise = random.random((count, *stored.shape[1:]), dtype=np.float32)
    return ((stored[chosen] + noise) / 256).astype(np.float32)


def _write(context: Context, kind: str, images: np.ndarray, chain: dict[str, float]) -> None:
    if len(np.unique(images.reshape(len(images), -1), axis=0)) == 1:
        raise EBMError(f"all {len(images)} {kind} samples are the same image: the model has collapsed")
    np.savez(context.out / f"{kind}.npz", images=images)
    context.write_json(f"{kind}.json", {"images": len(images), "chain": chain})
    save_grid(images[:100], context.out / f"{kind}.png", columns=20)


def _write_film(context: Context, model: EnergyModel, start: np.ndarray, chain: Chain, levels: int) -> None:
    strip = film(model, start, chain, 2 * context.section("seed"), context.section("sampling").film_frames)
    save_film(to_uint8(strip, levels), context.out / "film.png")
