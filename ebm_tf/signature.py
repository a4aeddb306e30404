"""signature.json: what an exported folder says of itself, so that whoever has it needs nothing else. No TensorFlow.

format        number of this format; a program reads those up to its own (format 1 knew no sampler but langevin)
made_by       name and version of the program
images        shape [height, width, channels], dtype and range of pixels, and how many grey levels the data had
classes       names of the labels, in order; empty for a model that takes none
weights       which of the trained weights these are: average, or best
chain         how samples are drawn: steps by default, and what the signatures have built in
signatures    inputs and outputs of each by name, with dtype and shape; null is an axis of any length
files         sha256 of every file that a program reads
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ebm_tf.errors import MissingInput
from ebm_tf.files import inside, sha256_of

FORMAT = 2
SIGNATURE = "signature.json"
SAVED_MODEL = "saved_model"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Images(_Part):
    """What the model's images are."""

    shape: tuple[int, int, int]
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] = (0.0, 1.0)
    levels: int = Field(ge=2, le=256)


class ChainDefaults(_Part):
    """Of the chains that draw samples; all but steps and batch_size is built into the signatures.

    MALA has a temperature, and makes no use of noise_scale and anneal.
    """

    sampler: Literal["langevin", "mala"] = "langevin"
    steps: int = Field(ge=1)
    step_size: float
    noise_scale: float
    anneal: bool
    gradient_clip: Optional[float]
    temperature: Optional[float] = None
    batch_size: int = Field(ge=1)


class Tensor(_Part):
    """An input or output."""

    dtype: str
    shape: tuple[Optional[int], ...]


class Function(_Part):
    """One signature."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Signature(_Part):
    """The whole of signature.json; fields as at the head of this module."""

    format: int = Field(FORMAT, ge=1)
    made_by: str
    images: Images
    classes: tuple[str, ...]
    weights: Literal["average", "best"]
    chain: ChainDefaults
    signatures: dict[str, Function]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Into an exported folder, last of all, since a folder that has it passes for whole."""
        text = json.dumps(self.model_dump(mode="json"), indent=2)
        (folder / SIGNATURE).write_text(f"{text}\n", encoding="utf-8")

    def verify(self, folder: Path, place: str) -> None:
        """Compare the sha256 of what lies at `place` in the folder, a file or all of a folder, with the export's.

        Raises:
            MissingInput: a file is not there, or has other bytes; or there are none of that name.
        """
        names = [name for name in self.files if name == place or name.startswith(f"{place}/")]
        if not names:
            raise MissingInput(f"{folder / SIGNATURE} names no {place}; get the folder anew, or export again")
        for name in names:
            path = inside(folder, name)
            if not path.is_file():
                raise MissingInput(f"{path} is missing; get the folder anew, or export the model again")
            if sha256_of(path) != self.files[name]:
                raise MissingInput(
                    f"{path} has other bytes than were exported; get the folder anew, or export the model again"
                )


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of each of these files of a folder, and of all that are in these folders of it, by name."""
    paths = [
        path
        for name in names
        for path in ([folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*")))
        if path.is_file()
    ]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def is_export(folder: Path) -> bool:
    """Whether a folder passes for an export, of whatever format."""
    return (folder / SIGNATURE).is_file()


def read_signature(folder: Path) -> Signature:
    """What an exported folder says of itself.

    Raises:
        MissingInput: it is no export, one of a newer format, or signature.json is damaged.
    """
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder}; give one that `python cli.py export --out` made")
    if not is_export(folder):
        hint = f"; did you mean {folder.parent}?" if is_export(folder.parent) else ""
        raise MissingInput(
            f"{folder} is no exported model, as it has no {SIGNATURE}; give a folder that "
            f"`python cli.py export --out` made, or an artifact of ExportModel{hint}"
        )
    path = folder / SIGNATURE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        number = values["format"]
        if isinstance(number, int) and number > FORMAT:
            raise MissingInput(
                f"{path} is of format {number}, and this program knows formats up to {FORMAT}: use the newer program "
                "that made it, or export the model again with this one"
            )
        return Signature.model_validate(values)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise MissingInput(
            f"{path} cannot be read ({_reason(error)}); get the folder anew, or export the model again"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
