"""The nearest stored images by FAISS, for `benchmarks.neighbours`: needs NumPy and faiss alone, no code of ours.

    python faiss_neighbours.py STORE QUERIES K BLOCK OUT

STORE and QUERIES are uint8 .npy files. Blocks of the store are read, turned into float32 and searched by faiss.knn;
the results are merged. Writes OUT (indices and squared distances, .npz) and prints seconds, peak memory and version
as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np


def search(queries: np.ndarray, store: Path, k: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices int64 [q, k] and squared distances float32 [q, k], nearest first."""
    asked = queries.reshape(len(queries), -1).astype(np.float32)
    distances = np.full((len(queries), k), np.inf, np.float32)
    indices = np.full((len(queries), k), -1)
    start, buffer = 0, np.empty((block, asked.shape[1]), np.float32)
    for part in blocks(store, block):
        vectors = buffer[: len(part)]
        np.copyto(vectors, part.reshape(len(part), -1))
        found, where = faiss.knn(asked, vectors, min(k, len(part)))
        distances = np.concatenate([distances, found], axis=1)
        indices = np.concatenate([indices, where + start], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distances = np.take_along_axis(distances, order, axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
        start += len(part)
    return indices, distances


def blocks(path: Path, length: int) -> Iterator[np.ndarray]:
    """An .npy file of uint8 read from start to end; pages of a map would count as this process's memory."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (_, *rest), _, _ = np.lib.format.read_array_header_1_0(file)
        while (part := np.fromfile(file, np.uint8, length * int(np.prod(rest)))).size:
            yield part.reshape(-1, *rest)


def main() -> None:
    store, queries, k, block, out = sys.argv[1:]
    asked = np.load(queries, allow_pickle=False)
    begun, worked = time.perf_counter(), time.process_time()
    indices, distances = search(asked, Path(store), int(k), int(block))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    np.savez(out, indices=indices, squared_distances=distances)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak, "version": faiss.__version__}))


if __name__ == "__main__":
    main()
