"""Our training iteration and chain against the yardstick's: the authors' iteration in PyTorch, at the same sizes.

The yardstick (torch_reference.py) runs in an environment of its own, which is made once in the cache folder (1 to 3
GB; PyTorch is no dependency of this project), or by an interpreter that is given. In each round every program runs
once, in a process of its own, one after the other: iteration and chain, by PyTorch in float32 and by us in each
precision. A ratio is the yardstick's median lap over ours of the same round; told is the median over the rounds, and
the least and the largest. `benchmarks/training.py` says what is not alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from benchmarks import programs
from benchmarks.programs import Say
from benchmarks.tables import Table, mark_if_wide, milliseconds_in_words, ratio_in_words
from benchmarks.training import LANES
from ebm_tf.errors import MissingInput

SCRIPT = Path(__file__).with_name("torch_reference.py")
PACKAGES = ("torch==2.13.0", "numpy", "pillow")
OLDEST = (3, 10)
"""Python that this PyTorch takes."""
NEWEST = 14
PRECISIONS = ("float32", "bfloat16")
MODES = {"iteration": "ms_per_iteration", "langevin": "ms_per_step"}


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("yardstick", __doc__)
    parser.add_argument("--yardstick-python", type=Path, help="interpreter that has torch, numpy and pillow")
    parser.add_argument(
        "--filters", type=int, default=32, help="channels of the first layer; default %(default)s"
    )
    parser.add_argument("--batch", type=int, default=32, help="chains; default %(default)s")
    parser.add_argument("--size", type=int, default=32, help="pixels of a side; default %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="K; default %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of both; default %(default)s")
    parser.add_argument("--lanes", type=int, default=LANES, help="of ours; default %(default)s")
    parser.add_argument("--iters", type=int, default=3, help="laps of a process; default %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind; default %(default)s")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rows by mode and precision; without an environment for the yardstick, ours alone and why."""
    not_run = None
    try:
        python = interpreter(options.yardstick_python, programs.to_stderr)
    except MissingInput as error:
        python, not_run = None, str(error)
        programs.to_stderr(f"the yardstick is not run: {error}")
    sizes = [
        part
        for name in ("filters", "batch", "size", "steps", "threads", "iters")
        for part in (f"--{name}", getattr(options, name))
    ]
    own = programs.ours("training", *sizes, "--lanes", options.lanes)
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        for mode in MODES:
            commands: dict[str, list[object]] = {
                precision: [*own, "--mode", mode, "--precision", precision] for precision in PRECISIONS
            }
            if python is not None:
                commands = {"yardstick": [python, SCRIPT, "--mode", mode, *sizes, "--json"], **commands}
            for who, command in commands.items():
                programs.to_stderr(f"round {number + 1} of {options.rounds}: {mode}, {who}")
                answered = programs.answer(command, say=lambda line: None)
                answers.setdefault((mode, who), []).append(answered)
    return {
        "not_run": not_run,
        "sizes": {
            name: getattr(options, name) for name in ("filters", "batch", "size", "steps", "threads", "lanes")
        },
        "torch": None if python is None else answers["iteration", "yardstick"][0]["torch"],
        "rows": [
            _row(mode, precision, answers[mode, precision], answers.get((mode, "yardstick")))
            for mode in MODES
            for precision in PRECISIONS
        ],
        "splits": {
            who: _middle_split(found) for (mode, who), found in answers.items() if mode == "iteration"
        },
    }


def _row(
    mode: str, precision: str, ours: list[dict[str, Any]], theirs: Optional[list[dict[str, Any]]]
) -> dict[str, Any]:
    """Times and ratios of one mode and precision, from answers in the order of the rounds."""
    field = MODES[mode]
    row: dict[str, Any] = {
        "mode": mode,
        "precision": precision,
        "ms": statistics.median(each[field] for each in ours),
        "peak_mib": max(each["peak_rss_mib"] for each in ours),
        "ms_ranges": [each["ms_range"] for each in [*ours, *(theirs or [])]],
        "ratio": None,
    }
    if theirs is not None:
        ratios = [yardstick[field] / own[field] for own, yardstick in zip(ours, theirs)]
        row |= {
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "yardstick_ms": statistics.median(each[field] for each in theirs),
            "yardstick_peak_mib": max(each["peak_rss_mib"] for each in theirs),
        }
    return row


def _middle_split(found: list[dict[str, Any]]) -> dict[str, float]:
    """Of each part of an iteration the median over the rounds."""
    return {
        name: statistics.median(each["split_ms"][name] for each in found) for name in found[0]["split_ms"]
    }


def interpreter(given: Optional[Path], say: Say) -> Path:
    """A Python that has PyTorch: the one that is given, or that of an environment, made here if it is not there.

    Raises:
        MissingInput: it has none, or none could be made; one line says why.
    """
    if given is not None:
        _demand_torch(given)
        return given
    folder = cache_folder() / "yardstick"
    python, mark = folder / "bin" / "python", folder / "installed"
    if mark.is_file() and mark.read_text() == " ".join(PACKAGES):
        return python
    base = _recent_python()
    say(f"installing {', '.join(PACKAGES)} into {folder}, once; delete the folder when you need it no more")
    shutil.rmtree(folder, ignore_errors=True)
    _call([base, "-m", "venv", folder], "an environment for it cannot be made")
    packages = [python, "-m", "pip", "install", "--quiet", "--retries", "1", *PACKAGES]
    _call(packages, f"{PACKAGES[0]} cannot be installed")
    _demand_torch(python)
    mark.write_text(" ".join(PACKAGES))  # last: an installation that was interrupted is done again
    return python


def cache_folder() -> Path:
    """Where what can be made again is kept: below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebm-tf-benchmarks"


def _recent_python() -> str:
    """An interpreter that this PyTorch takes: this one, or another on the path."""
    if sys.version_info[:2] >= OLDEST:
        return sys.executable
    names = [f"python{OLDEST[0]}.{minor}" for minor in range(NEWEST, OLDEST[1] - 1, -1)]
    for name in names:
        if found := shutil.which(name):
            return found
    raise MissingInput(
        f"{PACKAGES[0]} needs Python {'.'.join(map(str, OLDEST))} or newer, this is {sys.version.split()[0]}, and "
        f"none of {', '.join(names)} is on the path; install one, or give --yardstick-python"
    )


def _demand_torch(python: Path) -> None:
    _call([python, "-c", "import torch, numpy, PIL"], f"{python} has no torch, numpy and pillow that work")


def _call(command: list[Any], problem: str) -> None:
    """Run a program to its end; a failure is a `MissingInput` with the problem and the last line that was said."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    except OSError as error:
        raise MissingInput(
            f"{problem} ({error}); give --yardstick-python an interpreter that has them"
        ) from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise MissingInput(f"{problem} ({words}); give --yardstick-python an interpreter that has them")


def tables(found: dict[str, Any]) -> list[Table]:
    """Ratios first; then where the time of an iteration goes."""
    sizes = found["sizes"]
    named = (
        f"{sizes['filters']} filters, batch {sizes['batch']}, {sizes['size']}x{sizes['size']}, K {sizes['steps']}, "
        f"{sizes['threads']} threads, {sizes['lanes']} lanes of ours"
    )
    if found["torch"] is None:
        compared = f"The yardstick was not run: {found['not_run']}. Ours alone: {named}."
    else:
        compared = (
            f"PyTorch {found['torch']} (float32, eager) and this project, {named}, in processes that take turns. "
            "A ratio above 1 says how many times faster ours is: the median over rounds, in brackets the least and "
            "the largest."
        )
    headings = (
        "ratio",
        "what",
        "precision",
        "ours, ms",
        "yardstick, ms",
        "ours, peak MiB",
        "yardstick, peak MiB",
    )
    rows = tuple(
        (
            ratio_in_words(row["ratio"], row.get("ratio_range")) + mark_if_wide(row["ms_ranges"]),
            "training iteration" if row["mode"] == "iteration" else "chain step",
            row["precision"],
            milliseconds_in_words(row["ms"]),
            milliseconds_in_words(row["yardstick_ms"]) if row["ratio"] is not None else "not run",
            f"{row['peak_mib']:,.0f}",
            f"{row['yardstick_peak_mib']:,.0f}" if row["ratio"] is not None else "not run",
        )
        for row in found["rows"]
    )
    parts = next(iter(found["splits"].values()))
    split = tuple(
        (who, *(milliseconds_in_words(split[part]) for part in parts))
        for who, split in found["splits"].items()
    )
    return [
        Table("Against the yardstick", compared, headings, rows),
        Table(
            "Parts of an iteration, in milliseconds",
            "The yardstick's parts are clocked as they follow each other. Ours are timed alone, since an iteration "
            "is one graph; loss_backward is what they leave of the whole, and too little where parts overlap in it.",
            ("", *parts),
            split,
        ),
    ]


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
