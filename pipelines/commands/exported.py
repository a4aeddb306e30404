"""Commands that use an exported model; they need its folder alone: no config, no experiment, no root."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from ebm_tf.errors import ConfigError
from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, messages, print_json

if TYPE_CHECKING:
    from ebm_tf.exported import Exported
    from ebm_tf.signature import ChainDefaults

MODEL = typer.Option(
    ...,
    "--model",
    metavar="DIR",
    help="An exported model: a folder that export --out made, or an artifact of ExportModel. A SavedModel can do "
    "what a program can: use those of people you trust.",
)
COUNT = typer.Option(16, "--count", "-n", help="Samples to draw.")
SEED = typer.Option(
    0, "--seed", help="Sample i of a seed is the same in any number of them; another seed draws others."
)
STEPS = typer.Option(None, "--steps", help="Steps of each chain; by default those that the export names.")
LABELS_TO_DRAW = typer.Option(
    "",
    "--labels",
    metavar="N,N",
    help="Classes that a conditional model draws, in turn, as numbers from 0; by default all of them.",
)
LABELS_TO_SCORE = typer.Option(
    "",
    "--labels",
    metavar="N,N",
    help="Of a conditional model: the class of the images, as a number from 0; one for all, or one for each.",
)
OUT_SAMPLES = typer.Option(
    ..., "--out", metavar="FILE", help="A .png of all samples side by side, or an .npz of uint8 images."
)
OUT_TABLE = typer.Option(None, "--out", metavar="CSV", help="Write the table to this file, too.")
IMAGES = typer.Argument(
    ..., metavar="IMAGES", help="Folder of image files, or an .npz or .npy of uint8 images, n x h x w x c."
)
RESIZE = typer.Option(
    False,
    "--resize",
    help="Bring images of other sizes and colours to the model's: their largest central square, shrunk by area.",
)


def sample(
    model: Path = MODEL,
    count: int = COUNT,
    seed: int = SEED,
    steps: Optional[int] = STEPS,
    labels: str = LABELS_TO_DRAW,
    out: Path = OUT_SAMPLES,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Draw samples of an exported model: chains that start from noise, by the sampler that it was exported with.

    python cli.py sample --model my-model --count 100 --seed 1 --out grid.png

    The .npz holds the same images, as `evaluate --samples` takes them, and the labels of a conditional model.
    """
    with errors_as_lines(None, as_json, debug):
        import numpy as np

        from ebm_tf import exported_demands as demands
        from ebm_tf.exported_files import demand_free_file, write_samples
        from ebm_tf.grey_levels import to_uint8
        from ebm_tf.signature import SAVED_MODEL, read_signature
        from pipelines.commands.watching import shown
        from pipelines.interruption import Interruption

        began, signature = time.monotonic(), read_signature(model)
        signature.verify(model, SAVED_MODEL)
        demands.number_within("--count", count, 1)
        demands.number_within("--seed", seed, 0)
        length = demands.number_within("--steps", signature.chain.steps if steps is None else steps, 1)
        chosen = demands.labels_to_draw(signature, _numbers(labels), count)
        demand_free_file(out, (".png", ".npz"))
        with Interruption(), shown("sample", messages) as tell:
            levels = signature.images.levels
            shares: list[float] = []
            drawn = []
            for batch in _loaded(model).stream(count, seed, length, chosen, tell):
                drawn.append(to_uint8(batch.images, levels))
                shares += [] if batch.acceptance is None else batch.acceptance.tolist()
            write_samples(out, np.concatenate(drawn), chosen)
        acceptance = sum(shares) / len(shares) if shares else None
        told = {
            "model": model.absolute(),
            "out": out.absolute(),
            "count": count,
            "seed": seed,
            "steps": length,
            "sampler": signature.chain.sampler,
            "acceptance": acceptance,
            "labels": None if chosen is None else list(dict.fromkeys(chosen.tolist())),
            "seconds": round(time.monotonic() - began, 2),
        }
        if as_json:
            print_json({"status": "done", "exit_code": 0, **told})
        else:
            line = f"{out}: {count} samples of {length} steps, seed {seed}"
            line += "" if acceptance is None else f", {acceptance:.1%} of mala's proposals accepted"
            data.print(line, highlight=False, markup=False, soft_wrap=True)
        _warn_of_still_chains(signature.chain, acceptance)


def score(
    images: Path = IMAGES,
    model: Path = MODEL,
    labels: str = LABELS_TO_SCORE,
    resize: bool = RESIZE,
    out: Optional[Path] = OUT_TABLE,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Tell the energy of each image by an exported model: the lower, the likelier the model holds it.

    python cli.py score --model my-model photos --resize --out energies.csv

    Energies compare images under one model. They are known up to a constant, so those of two models do not compare.
    """
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.exported_demands import labels_to_score
        from ebm_tf.exported_files import ToJudge, demand_free_file, write_rows
        from ebm_tf.signature import SAVED_MODEL, read_signature
        from pipelines.commands.display import table
        from pipelines.commands.watching import shown
        from pipelines.interruption import Interruption

        began, signature = time.monotonic(), read_signature(model)
        signature.verify(model, SAVED_MODEL)
        if out is not None:
            demand_free_file(out, (".csv",))
        judged = ToJudge(images, signature, resize)
        chosen = labels_to_score(signature, _numbers(labels), len(judged))
        with Interruption(), shown("score", messages) as tell:
            exported = _loaded(model)
            energies: list[float] = []
            for block in judged.pixels():
                own = () if chosen is None else chosen[len(energies) : len(energies) + len(block)]
                energies += exported.energies(block, own).tolist()
                tell(len(energies), len(judged), "images")
        headings = ("file", "energy") if chosen is None else ("file", "label", "energy")
        columns = (judged.names, *(() if chosen is None else (chosen.tolist(),)), energies)
        rows = list(zip(*columns))
        if out is not None:
            write_rows(out, headings, rows)
        told = {
            "model": model.absolute(),
            "images": images.absolute(),
            "out": out and out.absolute(),
            "energies": [dict(zip(headings, row)) for row in rows],
            "seconds": round(time.monotonic() - began, 2),
        }
        if as_json:
            print_json({"status": "done", "exit_code": 0, **told})
        else:
            data.print(table(headings, [(*row[:-1], f"{row[-1]:.6g}") for row in rows]))


def _warn_of_still_chains(chain: ChainDefaults, acceptance: Optional[float]) -> None:
    from ebm_tf.sampling_settings import hardly_moved

    if acceptance is not None and chain.temperature is not None:
        still = hardly_moved(acceptance, chain.step_size, chain.temperature)
        if still:
            line = f"warning: {still}; get an export with a smaller step size or a higher temperature"
            messages.print(line, highlight=False, markup=False, soft_wrap=True)


def _numbers(text: str) -> tuple[int, ...]:
    """Of "3,1,4".

    Raises:
        ConfigError: it is something else.
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise ConfigError(f"--labels is {text!r}; give numbers with commas between, such as 3,1,4") from None


def _loaded(folder: Path) -> Exported:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's chatter is not for the user's terminal
    from ebm_tf import devices
    from ebm_tf.config import Compute
    from ebm_tf.exported import Exported

    devices.configure(Compute())
    return Exported(folder)
