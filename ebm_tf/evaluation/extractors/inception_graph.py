"""The file of the reference FID network: where it is, what it holds, how to get it. No TensorFlow here.

The network is `classify_image_graph_def.pb` of inception-2015-12-05 (Szegedy et al. 2015, as Heusel et al. 2017
use it for the FID), given by itself or in the archive that it is published in. No sha256 was published with it; the
archive's size is known.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ebm_tf.errors import MissingInput

GRAPH = "classify_image_graph_def.pb"
URL = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
ARCHIVE_BYTES = 88_931_400
VARIABLE = "EBM_INCEPTION"
HOW_TO_GET = (
    f"download {URL} ({ARCHIVE_BYTES:,} bytes) and give its path, or that of the {GRAPH} in it, as extractor.path or "
    f"in the environment variable {VARIABLE}"
)


@dataclass(frozen=True)
class GraphFile:
    """The serialised graph, and its origin.

    Attributes:
        path: the file that was given.
        graph: bytes of the GraphDef.
        sha256: of these bytes, so that the archive and the graph in it are the same network.
        note: what is known of the origin, a sentence.
    """

    path: Path
    graph: bytes
    sha256: str
    note: str


def find_graph(path: Optional[Path]) -> Path:
    """The file to read: the given one, or else the one that EBM_INCEPTION names.

    Raises:
        MissingInput: neither is given, or there is no such file; says how to get it.
    """
    if path is None:
        named = os.environ.get(VARIABLE)
        if not named:
            raise MissingInput(f"the inception network is not given; {HOW_TO_GET}")
        path = Path(named).expanduser()
    if not path.is_file():
        raise MissingInput(f"the inception network is not there: no file {path}; {HOW_TO_GET}")
    return path


def read_graph(path: Path) -> GraphFile:
    """The graph of a .pb file, or of an archive that holds it.

    Raises:
        MissingInput: the file cannot be read, or is an archive without the graph.
    """
    try:
        packed = tarfile.is_tarfile(path)
        graph = _unpacked(path) if packed else path.read_bytes()
        size = path.stat().st_size
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise MissingInput(f"cannot read the inception network {path}: {error}; {HOW_TO_GET}") from error
    if not packed:
        note = "The Inception graph was given without its archive, whose size could have been compared."
    elif size == ARCHIVE_BYTES:
        note = f"The Inception archive has {size:,} bytes, as the published one."
    else:
        note = f"The Inception archive has {size:,} bytes, the published one {ARCHIVE_BYTES:,}: it is another one."
    return GraphFile(path, graph, hashlib.sha256(graph).hexdigest(), note)


def _unpacked(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).name == GRAPH:
                file = archive.extractfile(member)
                assert file is not None  # of a regular file
                return file.read()
    raise MissingInput(f"the archive {path} holds no {GRAPH}; {HOW_TO_GET}")
