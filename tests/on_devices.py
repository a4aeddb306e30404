"""The same program on different numbers of devices, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]


def results_on(
    counts: Sequence[int], program: str, folder: Path, *arguments: str
) -> list[dict[str, np.ndarray]]:
    """What `program` saves for each number of logical CPUs.

    Args:
        program: Python that is given the number, the .npz file to write, and the further arguments.
    """
    results = []
    for count in counts:
        file = folder / f"{count}.npz"
        command = [sys.executable, "-c", program, str(count), str(file), *arguments]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        with np.load(file, allow_pickle=False) as saved:
            results.append(dict(saved))
    return results
