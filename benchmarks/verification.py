"""What it costs to compare the sha256 of an input with what was published, against reading the same bytes.

`python -m benchmarks.verification [--mebibytes 512]` writes a file, which stays in the page cache, and reads it with
and without hashing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.turns import milliseconds
from ebm_tf.files import BLOCK_BYTES, sha256_of

ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verification", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=512, help="size of the file")
    size = parser.parse_args().mebibytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        with path.open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(1 << 20))
        times = milliseconds({"read": partial(_read, path), "verify": partial(sha256_of, path)}, ROUNDS)
    for name, time in times.items():
        print(f"{name:7} {time:8.0f} ms  {1e3 * size / time:6.0f} MiB/s")
    print(f"ratio   {times['verify'] / times['read']:.1f}")


def _read(path: Path) -> None:
    """Block by block, as `sha256_of` does."""
    with path.open("rb") as file:
        while file.read(BLOCK_BYTES):
            pass


if __name__ == "__main__":
    main()
