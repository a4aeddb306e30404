"""What an identity rests on: the sha256 of a network's numbers, of a folder's files, of a definition in words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebm_tf.files import sha256_of

if TYPE_CHECKING:
    import keras


def weights_sha256(network: keras.Model) -> str:
    """sha256 over all weights in their order: the same numbers, the same identity, whatever the file."""
    return arrays_sha256(network.get_weights())


def arrays_sha256(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """sha256 over the bytes of arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def folder_sha256(folder: Path, pattern: str = "*") -> str:
    """sha256 over the names and contents of a folder's files (of a pattern), whatever its own name and place."""
    digest = hashlib.sha256()
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob(pattern) if file.is_file()}
    for name, file in sorted(files.items()):
        digest.update(f"{sha256_of(file)}  {name}\n".encode())
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    """sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
