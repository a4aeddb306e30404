"""What a file holds, where it may be, and whether the disk has it."""

from __future__ import annotations

import hashlib
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

from ebm_tf.errors import MissingInput

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


def inside(folder: Path, name: str) -> Path:
    """The file of a folder that a record names; to be asked wherever a name was read from a file.

    The folder may itself be a link, and its files may be links among themselves.

    Args:
        name: with / between its parts.

    Raises:
        MissingInput: no file can be called so, the name is absolute or has "..", or it is or goes through a link that
            leads out of there.
    """
    parts = str(name).split("/")
    if not isinstance(name, str) or {"", ".", ".."} & set(parts) or not _can_be_a_files(name):
        raise MissingInput(
            f"{folder} names a file {name!r}; a file in that folder has a relative name without '..': make it anew, "
            "or get it from where you trust it"
        )
    path = folder.joinpath(*parts)
    whole = Path(os.path.realpath(folder))
    if whole not in Path(os.path.realpath(path)).parents:
        raise MissingInput(
            f"{path} is a link that leads out of {folder}, to {os.path.realpath(path)}; put the file itself there"
        )
    return path


def _can_be_a_files(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can write
        return False


def sync(path: Path) -> None:
    """Wait until the disk has a file, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
