"""Record what pytorch-fid and torch-fidelity say of seeded features: tests/oracles/metrics.json.

Both need PyTorch, which is no part of this project's environment: they run in one of their own, in the folder given.
Their networks are not used, only their arithmetic, and torchvision, which they import for images, is replaced by an
empty module.

    python tools/record_metric_oracles.py FOLDER [FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

RECORD = Path(__file__).resolve().parent.parent / "tests" / "oracles" / "metrics.json"
REQUIRED = ("torch==2.13.0", "numpy", "scipy", "tqdm", "pillow")
JUDGED = ("pytorch-fid==0.3.0", "torch-fidelity==0.4.0")  # without what they need: they ask for torchvision

PROGRAM = '''
import importlib.abc, importlib.machinery, importlib.metadata, json, sys
from unittest.mock import MagicMock
import numpy as np

class Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torchvision and all below it, as modules that hold whatever is asked for."""
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__version__ = "0"
        module.__path__ = []
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Empty())
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

RECIPE = {
    "mixing": "rng = default_rng(seed); mixing = rng.normal(size=(d, d)) / sqrt(d)",
    "samples": "0.3 + rng.normal(size=(n, d)) @ mixing, drawn next",
    "reference": "rng.normal(size=(m, d)), drawn next",
    "logits": "3 * rng.normal(size=(n, 10)), drawn next",
    "tied": "1 + rng.integers(0, 4, (n, 8)) and rng.integers(0, 4, (m, 8)), drawn last: many equal distances",
    "dtype": "float64",
}
CASES = [dict(seed=1, n=600, m=500, d=16), dict(seed=2, n=1000, m=1000, d=64), dict(seed=3, n=400, m=700, d=128)]

def values(seed, n, m, d):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    samples = 0.3 + rng.normal(size=(n, d)) @ mixing
    reference = rng.normal(size=(m, d))
    logits = 3 * rng.normal(size=(n, 10))
    tied = [
        torch.from_numpy(shift + rng.integers(0, 4, (count, 8)).astype(np.float64))
        for count, shift in ((n, 1), (m, 0))
    ]
    x, y, z = map(torch.from_numpy, (samples, reference, logits))
    first, second = map(fid_features_to_statistics, (x, y))
    subset = min(n, m)
    kid = kid_features_to_metric(
        x[:subset], y[:subset], kid_subsets=1, kid_subset_size=subset, verbose=False
    )
    isc = isc_features_to_metric(z, splits=10, shuffle=False)
    whole = isc_features_to_metric(z, splits=1, shuffle=False)
    prc = prc_features_to_metric(x, y, prc_neighborhood=3, verbose=False)
    ties = prc_features_to_metric(*tied, prc_neighborhood=3, verbose=False)
    return {
        "pytorch_fid frechet": calculate_frechet_distance(first["mu"], first["sigma"], second["mu"], second["sigma"]),
        "torch_fidelity frechet": fid_statistics_to_metric(first, second, False)["frechet_inception_distance"],
        "torch_fidelity kid of the first min(n, m)": kid["kernel_inception_distance_mean"],
        "torch_fidelity is": whole["inception_score_mean"],
        "torch_fidelity is of 10 splits": isc["inception_score_mean"],
        "torch_fidelity is spread of 10 splits": isc["inception_score_std"],
        "torch_fidelity precision at 3": prc["precision"],
        "torch_fidelity recall at 3": prc["recall"],
        "torch_fidelity precision at 3 of tied": ties["precision"],
        "torch_fidelity recall at 3 of tied": ties["recall"],
    }

print("RECORD" + json.dumps({
    "versions": {
        name: importlib.metadata.version(name)
        for name in ("torch", "pytorch-fid", "torch-fidelity", "numpy", "scipy")
    },
    "recipe": RECIPE,
    "cases": [{**case, "values": {name: float(v) for name, v in values(**case).items()}} for case in CASES],
}))
'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the environment is made; delete it afterwards")
    parser.add_argument("file", type=Path, nargs="?", default=RECORD, help="what is written")
    options = parser.parse_args()
    record(options.folder, options.file)


def record(folder: Path, file: Path) -> None:
    """Make the environment in `folder`, run both libraries in it and write what they say to `file`."""
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *REQUIRED], check=True)
    subprocess.run([*install, "--no-deps", *JUDGED], check=True)
    output = subprocess.run([python, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, text=True).stdout
    recorded = json.loads(output.split("RECORD", 1)[1])
    file.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
