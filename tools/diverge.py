"""Make trainings diverge, and write down what the measurements show first: figures and tables of docs/divergence.md.

Each case is a real training of the embedded digits with one thing wrong, beside an undisturbed one. The guard is told
to look away, so that the run goes on until the network is dead, if it comes to that; what it would have said is found
afterwards, from the record of each step. One case is run once more as the guard has it.

    python -m tools.diverge [--runs FOLDER] [--only NAME ...] [--docs FOLDER]

FOLDER of --runs keeps the trainings, so that a second call makes only those that are missing. With --only no table is
written. It takes about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from matplotlib.ticker import NullFormatter
from PIL import Image

from ebm_tf.config import Health
from ebm_tf.figures import plt
from ebm_tf.training.health import Guard, usual_norm
from ebm_tf.training.history import read_csv

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE, PICTURES = "divergence.md", "images"
STEPS = 400
COMMON = ("optimiser.decay_start=1", "selection.every=0")
RECORDED = ("training.log_every=1", "training.checkpoint_every=1000000", "training.grid_every=50")
FAR = 1e30  # a limit that nothing reaches
LIMITS = ("max_gap_spreads", "max_spread_ratio", "max_gradient_growth", "max_energy")
BLIND = (*(f"health.{name}={FAR}" for name in LIMITS), "health.rollbacks=0", "health.on_divergence=keep")
CLIPPED_LIMIT = 0.6
USUAL, GUARDED = "usual", "step_size_small"


class Case(NamedTuple):
    """One way to go wrong: what differs from the digits' settings, and for how many steps it is trained."""

    settings: tuple[str, ...]
    steps: int = STEPS


CASES = {
    USUAL: Case(()),
    "learning_rate": Case(("optimiser.learning_rate=0.05",)),
    "step_size_large": Case(("langevin.step_size=20",)),
    "step_size_small": Case(("langevin.step_size=0.001",)),
    "short_chains": Case(("langevin.steps=2",)),
    "regularisation_large": Case(("loss.regularisation=1",)),
    "no_regularisation": Case(("loss.regularisation=0",)),
    "no_kl": Case(("loss.kl=0", "loss.entropy=0"), steps=4 * STEPS),
}
DRAWN = tuple(CASES)[1:6]


class Run(NamedTuple):
    """A training.

    history: columns of history.csv, a row per step. picture: its last one of samples. said: of roll-backs. ended: the
    step at which it ended early, if it did, and why.
    """

    history: dict[str, np.ndarray]
    picture: Path
    said: list[str]
    ended: Optional[tuple[int, str]] = None


def train(name: str, settings: Sequence[str], root: Path) -> Run:
    """Such a training, kept below `root` under its name."""
    command = [sys.executable, "cli.py", "run", "--task", "TrainEBM", "--root", str(root)]
    command += [word for setting in (*settings, f"name={name}") for word in ("--set", setting)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    said = [_of_its_log(line) for line in done.stderr.splitlines() if line.startswith(("  ", "error:"))]
    said = [line for line in said if "rolled back" in line or "diverged" in line]
    folder = root / "runs" / name / "TrainEBM"
    if not folder.exists():
        return Run({}, Path(), said)
    event = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["diverged"]
    return Run(
        read_csv(folder / "history.csv"),
        max((folder / "grids").glob("step-*.png"), default=Path()),
        said,
        event and (event["step"], _what(event["problem"])),
    )


class Measure(NamedTuple):
    """What a panel shows: its title, and of its axis the scale, with the range that symlog shows linearly."""

    title: str
    scale: str = "linear"
    linear: float = 0.0


MEASURES = {
    "gap": Measure("E(real) - E(samples), in spreads of E(real)", "symlog", 3),
    "spread": Measure("spread of E(samples) over that of E(real)", "log"),
    "gradient": Measure("gradient norm", "log"),
    "energy": Measure("largest mean |energy|", "symlog", 3),
    "clipping": Measure("share of clipped pixels"),
    "way": Measure("way of a chain, in pixels (L2)"),
}


def measured(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is drawn of a run, by the names of `MEASURES`: what the guard reads, in its units, and two more."""
    spread = np.maximum(history["energy_real_spread"], 1e-6)
    return {
        "gap": (history["energy_real"] - history["energy_sample"]) / spread,
        "spread": history["energy_sample_spread"] / spread,
        "gradient": history["gradient_norm"],
        "energy": np.maximum(np.abs(history["energy_real"]), np.abs(history["energy_sample"])),
        "clipping": history["clipped_share"],
        "way": history["displacement"],
    }


def beyond(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Whether each step is beyond a limit of the guard, by the name of its column; and beyond one of clipping."""
    limits, found = Health(), measured(history)
    return {
        "gap below": found["gap"] < -limits.max_gap_spreads,
        "gap above": found["gap"] > limits.max_gap_spreads,
        "spread": found["spread"] > limits.max_spread_ratio,
        "gradient": _leaps(history),
        "energy": found["energy"] > limits.max_energy,
        "clipping": found["clipping"] > CLIPPED_LIMIT,
    }


def table(runs: Mapping[str, Run]) -> str:
    """Which measurement of which case left its range, when first and how often."""
    head = ("case", *beyond(runs[USUAL].history), "the guard would have acted")
    rows = [head, ("---",) * len(head)]
    for name, run in runs.items():
        said = next(_said(run.history, Health()), run.ended)
        acted = "–" if said is None else f"step {said[0]}: {said[1]}"
        case = ", ".join(f"`{setting}`" for setting in CASES[name].settings) or "as it should be"
        rows.append((case, *map(_cell, beyond(run.history).values()), acted))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(run: Run, usual: Run, path: Path) -> None:
    """A panel for each measurement, over the usual run in grey, and samples of both at the end."""
    figure = plt.figure(figsize=(9, 7.2), layout="constrained")
    grid = figure.add_gridspec(5, 2, height_ratios=[4, 4, 4, 1, 1])
    usually, here = measured(usual.history), measured(run.history)
    for number, (name, measure) in enumerate(MEASURES.items()):
        axis = figure.add_subplot(grid[number // 2, number % 2])
        axis.plot(usual.history["step"], usually[name], color="0.7", linewidth=1, label="usual")
        axis.plot(run.history["step"], here[name], color="C3", linewidth=1, label="this run")
        _scale(axis, measure)
        axis.set_title(measure.title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if number == 0:
            axis.legend(fontsize=7)
    for row, (shown, title) in enumerate(
        ((usual, "usual: samples at the end"), (run, "this run: samples at the end"))
    ):
        axis = figure.add_subplot(grid[3 + row, :])
        axis.imshow(_first_row(shown.picture), interpolation="nearest")
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64).save(path, optimize=True)


def replaced(text: str, mark: str, part: str) -> str:
    """A page with what stands between `<!-- mark -->` and `<!-- end -->` replaced."""
    pattern = re.compile(rf"(<!-- {mark}[^>]*-->\n).*?(\n<!-- end -->)", re.DOTALL)
    found, count = pattern.subn(lambda match: f"{match[1]}\n{part}\n{match[2]}", text)
    if count != 1:
        raise SystemExit(f"{PAGE} has {count} places marked {mark}; it takes one")
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.diverge", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=Path, help="folder that keeps the trainings; by default they are deleted"
    )
    parser.add_argument("--only", nargs="*", choices=DRAWN, default=[])
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        root = (wanted.runs or Path(passing)).absolute()
        runs = _trained([USUAL, *wanted.only] if wanted.only else list(CASES), root)
        for name, run in runs.items():
            if name in DRAWN:
                draw(run, runs[USUAL], wanted.docs / PICTURES / f"diverge_{name}.png")
        if not wanted.only:
            settings = [*COMMON, f"training.steps={STEPS}", *CASES[GUARDED].settings]
            guarded = train(f"{GUARDED}_guarded", [*settings, "training.checkpoint_every=50"], root)
            page = wanted.docs / PAGE
            text = replaced(page.read_text(encoding="utf-8"), "table", table(runs))
            text = replaced(text, "guarded", "\n".join(["```", *guarded.said, "```"]))
            page.write_text(text, encoding="utf-8")


def _trained(names: Sequence[str], root: Path) -> dict[str, Run]:
    runs, begun = {}, time.monotonic()
    for number, name in enumerate(names):
        left = (time.monotonic() - begun) / max(number, 1) * (len(names) - number)
        print(f"{name}: {number + 1} of {len(names)}" + (f", about {left:.0f} s left" if number else ""))
        case = CASES[name]
        runs[name] = train(
            name, [*COMMON, *RECORDED, *BLIND, f"training.steps={case.steps}", *case.settings], root
        )
        if not runs[name].history:
            raise SystemExit(f"{name} left no record: {' '.join(runs[name].said)}")
    return runs


def _said(history: Mapping[str, np.ndarray], limits: Health) -> Iterator[tuple[int, str]]:
    """The steps (from 1) at which a guard that nobody heeds would have spoken, and what it would have said."""
    guard = Guard(limits)
    for index, step in enumerate(history["step"]):
        problem = guard.check(int(step) - 1, {name: float(values[index]) for name, values in history.items()})
        if problem is not None:
            yield int(step), _what(problem.said)


def _what(problem: str) -> str:
    """Of the words about a problem those that are not about the step."""
    return problem.rpartition(" at step ")[0]


def _leaps(history: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether the gradient norm of each step is too far above its own running median."""
    norms, limit = history["gradient_norm"], Health().max_gradient_growth
    return np.array([norm > limit * usual_norm(norms[:index]) for index, norm in enumerate(norms)])


def _cell(out: np.ndarray) -> str:
    """The first step that is out of range, and the share of those that are."""
    if not out.any():
        return "–"
    share = "1 step" if out.sum() == 1 else f"{max(out.mean(), 0.01):.0%}"
    return f"{int(out.argmax()) + 1} ({share})"


def _of_its_log(line: str) -> str:
    """A line of what a run says in the end, which shows the last ones of its log, without where that is."""
    return line.strip().partition("; log: ")[0]


def _scale(axis: plt.Axes, measure: Measure) -> None:
    if measure.scale == "log":
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
    elif measure.scale == "symlog":
        axis.set_yscale("symlog", linthresh=measure.linear)


def _first_row(picture: Path) -> np.ndarray:
    """The first of the rows of samples that a training draws."""
    with Image.open(picture) as opened:
        return np.asarray(opened.convert("RGB").crop((0, 0, opened.width, opened.height // 4)))


if __name__ == "__main__":
    main()
