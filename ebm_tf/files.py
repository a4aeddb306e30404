"""What a file holds, and whether the disk has it."""

from __future__ import annotations

import hashlib
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

BLOCK_BYTES = 1 << 20

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
)
"""What NumPy, zipfile and Pillow raise for a file that is cut short, damaged, encrypted or of no known kind."""


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal; read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Wait until the disk has a file, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
