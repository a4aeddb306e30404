"""Exact neighbours in a store on disk: time and peak memory, beside FAISS on the same store, and where FAISS errs.

The store is of random pixels, written here by a seed; by default as many 32 x 32 colour images as ImageNet has, which
is 3.9 GB. Each search runs in a process of its own, in turns, ours first and then FAISS (flat L2, by blocks of
float32 that it is given from the same file). Times are of the search alone, CPU times those of all its threads; peak
memory is of the whole process, as the kernel counts it: pages of the store that a process has mapped are in it. The
file is in the system's cache as far as that has room; --cold drops it from there before each search. FAISS is
installed into an environment in the folder, which is deleted with the store; --faiss-python names one that has it.

Then the trap: an image, and copies of it that differ by one grey level in one pixel. Each true squared distance is 1.
The image is asked for 64 times at once: for few queries FAISS takes differences instead, and is exact.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ebm_tf.evaluation.neighbours import nearest

SHAPE = (32, 32, 3)
AT_ONCE = 10_000  # images written
FAISS = "faiss-cpu==1.15.1"


def main() -> None:
    if sys.argv[1:2] == ["--ours"]:
        _ours(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("folder", type=Path, help="for the store; made if it is not there")
    parser.add_argument("--images", type=int, default=1_280_000, help="in the store, 3 kB each")
    parser.add_argument("--queries", type=int, default=64, help="whose neighbours are sought")
    parser.add_argument("--k", type=int, default=10, help="neighbours of each")
    parser.add_argument("--rounds", type=int, default=3, help="searches of each kind")
    parser.add_argument("--faiss-block", type=int, default=4096, help="images that FAISS is given at once")
    parser.add_argument(
        "--faiss-python", type=Path, help="interpreter that has faiss; by default one is made"
    )
    parser.add_argument(
        "--cold", action="store_true", help="drop the store from the cache before each search"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder's files")
    options = parser.parse_args()
    with _folder(options.folder, options.keep) as folder:
        python = options.faiss_python or _with_faiss(folder / "faiss")
        store = _store(folder / "store.npy", options.images)
        queries = folder / "queries.npy"
        np.save(queries, np.random.default_rng(1).integers(0, 256, (options.queries, *SHAPE), np.uint8))
        print(
            f"{options.images} images, {store.stat().st_size / 1e9:.2f} GB; {options.queries} queries, k {options.k}"
        )
        _compare(options, python, store, queries)
        _trap(python, folder, options.faiss_block)


def _compare(options: argparse.Namespace, python: Path, store: Path, queries: Path) -> None:
    """Both searches in turns; medians, and whether they agree."""
    measured: dict[str, list[dict[str, Any]]] = {"ours": [], "FAISS": []}
    for _ in range(options.rounds):
        for name, runs in measured.items():
            if options.cold:
                _drop(store)
            runs.append(_search(name, python, store, queries, options.k, options.faiss_block))
    base = statistics.median(run["seconds"] for run in measured["ours"])
    for name, runs in measured.items():
        seconds = [run["seconds"] for run in runs]
        peak = max(run["peak_mib"] for run in runs)
        middle = statistics.median(seconds)
        print(
            f"  {name:6} {middle:8.2f} s  x {middle / base:.2f}  "
            f"({min(seconds):.2f}..{max(seconds):.2f}), CPU {statistics.median(run['cpu'] for run in runs):.2f} s, "
            f"peak {peak:.0f} MiB"
        )
    ours, theirs = (measured[name][-1] for name in measured)
    same = float(np.mean(ours["indices"] == theirs["indices"]))
    off = np.abs(ours["squared_distances"] - theirs["squared_distances"]).max()
    print(
        f"  FAISS {theirs['version']}: {same:.2%} of the neighbours the same, squared distances off by {off:.0f}"
    )


def _trap(python: Path, folder: Path, block: int, copies: int = 400) -> None:
    image = np.random.default_rng(0).integers(180, 255, (1, *SHAPE), np.uint8)
    altered = np.repeat(image, copies, axis=0)
    altered.reshape(copies, -1)[np.arange(copies), np.arange(copies)] += 1
    store, queries = folder / "copies.npy", folder / "image.npy"
    np.save(store, altered)
    np.save(queries, np.repeat(image, 64, axis=0))
    print(f"{copies} copies at a squared distance of 1, of the first query:")
    for name in ("ours", "FAISS"):
        found = _search(name, python, store, queries, copies, block)["squared_distances"][0]
        values, counts = np.unique(found, return_counts=True)
        print(f"  {name:6} " + ", ".join(f"{count} x {value:g}" for value, count in zip(values, counts)))


def _search(name: str, python: Path, store: Path, queries: Path, k: int, block: int) -> dict[str, Any]:
    """One search in a process of its own: its figures and what it found."""
    out = store.with_name("found.npz")
    ours = [sys.executable, "-m", "benchmarks.neighbours", "--ours", store, queries, str(k), out]
    script = Path(__file__).with_name("faiss_neighbours.py")
    theirs = [python, script, store, queries, str(k), str(block), out]
    command = [str(part) for part in (ours if name == "ours" else theirs)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with np.load(out, allow_pickle=False) as found:
        return {**json.loads(said), **found}


def _ours(store: str, queries: str, k: str, out: str) -> None:
    """What the process of our search does."""
    images = np.load(store, mmap_mode="r", allow_pickle=False)
    asked = np.load(queries, allow_pickle=False)
    begun, worked = time.perf_counter(), time.process_time()
    found = nearest(asked, images, int(k))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    np.savez(out, indices=found.indices, squared_distances=found.squared_distances)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak}))


@contextmanager
def _folder(folder: Path, keep: bool) -> Iterator[Path]:
    """A folder below `folder`, deleted afterwards."""
    place = folder / "neighbours-benchmark"
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place)


def _store(path: Path, count: int) -> Path:
    """Random images, uint8 [count, 32, 32, 3]; a finished store of as many is used again."""
    if path.is_file() and np.load(path, mmap_mode="r", allow_pickle=False).shape == (count, *SHAPE):
        return path
    needed, free = count * int(np.prod(SHAPE)), shutil.disk_usage(path.parent).free
    if needed > free - 2**30:
        raise SystemExit(
            f"{path.parent} has {free / 1e9:.1f} GB free and the store takes {needed / 1e9:.1f} GB"
        )
    unfinished, random = path.with_suffix(".part"), np.random.default_rng(0)
    with unfinished.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, AT_ONCE):
            size = (min(AT_ONCE, count - start), *SHAPE)
            file.write(random.integers(0, 256, size, np.uint8).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return unfinished.rename(path)


def _with_faiss(folder: Path) -> Path:
    """An interpreter with FAISS, in an environment of its own."""
    python = folder / "bin" / "python"
    if not python.is_file():
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", FAISS], check=True)
    return python


def _drop(path: Path) -> None:
    """From the system's cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
