"""From a stage's output folder to a finished artifact, by one rename."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from ebm_tf.files import sha256_of, sync
from pipelines.artifact import FORMAT, LOG, PARAMS, Artifact, canonical_json, content_digest
from pipelines.provenance import git_revision, host, versions


def prepare_work(artifact: Artifact, input_contents: Mapping[str, str]) -> None:
    """Sweep what a killed build left, and give the stage an empty output folder. Needs the lock.

    Checkpoints are kept, unless they were made from other inputs than those of now.
    """
    if artifact.replaced.exists():
        if artifact.exists():
            shutil.rmtree(artifact.replaced)
        else:
            artifact.replaced.rename(artifact.path)
    shutil.rmtree(artifact.output, ignore_errors=True)
    made_from = artifact.work / "inputs.json"
    now = canonical_json(dict(input_contents))
    known = made_from.is_file() and made_from.read_text(encoding="utf-8") == now
    if not known:
        shutil.rmtree(artifact.checkpoints, ignore_errors=True)
        artifact.attempts_file.unlink(missing_ok=True)
    artifact.output.mkdir(parents=True)
    artifact.checkpoints.mkdir(exist_ok=True)
    if not known:
        beside = made_from.with_suffix(".unfinished")
        beside.write_text(now, encoding="utf-8")
        beside.replace(made_from)


def publish(artifact: Artifact, record: Mapping[str, Any]) -> None:
    """Add the log and params.json to the output, make it durable, and rename it into place. Needs the lock.

    Args:
        artifact: what is published; its output folder holds the data files.
        record: what params.json says besides the files and the provenance.
    """
    output = artifact.output
    shutil.copyfile(artifact.log, output / LOG)
    files = {
        path.relative_to(output).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }
    params = {
        "format": FORMAT,
        **record,
        "files": files,
        "content": content_digest(files),
        "versions": versions(),
        "git_revision": git_revision(),
        "host": host(),
    }
    (output / PARAMS).write_text(json.dumps(params, indent=2) + "\n", encoding="utf-8")
    for path in [*output.rglob("*"), output]:
        sync(path)
    if artifact.exists():
        artifact.path.rename(artifact.replaced)
    output.rename(artifact.path)
    artifact.rebuild_is_done()  # at once: clearing away below may take long, and be cut short
    sync(artifact.folder)
    for leftover in (artifact.work, artifact.replaced):
        shutil.rmtree(leftover, ignore_errors=True)
