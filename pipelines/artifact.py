"""Where a stage's result lives, what it is called, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ebm_tf.errors import MissingInput
from ebm_tf.files import inside, sha256_of

FORMAT = 1
"""Of the records that this program writes; it reads those up to it."""
TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
FINGERPRINT = re.compile(r"[0-9a-f]{16,64}")
PARAMS = "params.json"
LOG = "log.txt"
WORK = ".work-"
"""How the name of a folder begins in which an artifact is made."""
SPEED = ("speed.csv", "selection_speed.csv")
NOT_CONTENT = (PARAMS, LOG, *SPEED)
"""Files that differ between two builds of the same thing (so does whatever is below `tensorboard/`)."""


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, no not-a-numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(task: str, version: int, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The sha256 that names a result before it exists.

    Args:
        task: name of the task.
        version: version of the task's code.
        settings: the slice of the experiment that the task depends on.
        inputs: fingerprint of each input, by task.
    """
    identity = {"task": task, "version": version, "settings": settings, "inputs": inputs}
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def content_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The sha256 over the names and sha256s of the data files among `files`."""
    lines = "".join(f"{name}\0{files[name]['sha256']}\n" for name in sorted(files) if _is_content(name))
    return hashlib.sha256(lines.encode()).hexdigest()


def _holds_together(params: Mapping[str, Any]) -> bool:
    """The record's digest is that of its files, and its fingerprint that of what it was made with."""
    inputs = {name: str(made["fingerprint"]) for name, made in params["inputs"].items()}
    made = fingerprint(params["task"], params["version"], params["settings"], inputs)
    sizes = all(isinstance(record["bytes"], int) for record in params["files"].values())
    contents = all(isinstance(made["content"], str) for made in params["inputs"].values())
    return (
        sizes
        and contents
        and params["content"] == content_digest(params["files"])
        and made == params["fingerprint"]
    )


def _is_content(name: str) -> bool:
    return name not in NOT_CONTENT and "tensorboard" not in Path(name).parts[:-1]


def sha256_once(path: Path) -> str:
    """The sha256 of a file; one that was not written to since this process last asked is not read again."""
    now = path.stat()
    return _sha256_of_state(
        str(path), (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    )


@lru_cache(maxsize=4096)
def _sha256_of_state(path: str, state: tuple[int, ...]) -> str:
    return sha256_of(Path(path))


@dataclass(frozen=True)
class Artifact:
    """The folder `ROOT/artifacts/<task>/<first 16 digits of the fingerprint>`; once there, never changed."""

    root: Path
    task: str
    fingerprint: str

    def __post_init__(self) -> None:
        """Names are parts of paths, and some were read from a file.

        Raises:
            MissingInput: they are no names of an artifact.
        """
        if not TASK_NAME.fullmatch(self.task) or not FINGERPRINT.fullmatch(self.fingerprint):
            raise MissingInput(
                f"no artifact can be called {self.task}/{self.fingerprint}; the record that names it is damaged, "
                "make it anew"
            )

    @property
    def short(self) -> str:
        """The part of the fingerprint that is used in paths."""
        return self.fingerprint[:16]

    @property
    def folder(self) -> Path:
        """What all artifacts of the task lie in."""
        return self.root / "artifacts" / self.task

    @property
    def path(self) -> Path:
        """The finished artifact."""
        return self.folder / self.short

    @property
    def work(self) -> Path:
        """What a build in progress, or one that was killed, has so far."""
        return self.folder / f"{WORK}{self.short}"

    @property
    def output(self) -> Path:
        """Where the stage writes; becomes `path` by one rename."""
        return self.work / "output"

    @property
    def checkpoints(self) -> Path:
        """What the stage keeps in order to go on after a kill."""
        return self.work / "checkpoints"

    @property
    def log(self) -> Path:
        """The log of the build in progress, or of the last one that failed."""
        return self.work / LOG

    @property
    def attempts_file(self) -> Path:
        """How often the build was begun, and how long it took so far."""
        return self.work / "attempts.json"

    @property
    def replaced(self) -> Path:
        """Where the old artifact stands during the moment in which a forced rebuild is swapped in."""
        return self.folder / f".old-{self.short}"

    @property
    def lock_file(self) -> Path:
        """Held by whoever builds the artifact."""
        return self.folder / f".lock-{self.short}"

    @property
    def rebuild_mark(self) -> Path:
        return self.work / "rebuild"

    @property
    def rebuild_wanted(self) -> bool:
        """A rebuild was asked for and has not been done yet."""
        return self.rebuild_mark.exists()

    def want_rebuild(self) -> None:
        """Ask for a rebuild from the start; the artifact stays until the new one is ready. Needs the lock."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        self.rebuild_mark.touch()

    def rebuild_is_done(self) -> None:
        """What was asked for is there. Needs the lock."""
        self.rebuild_mark.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Something is at `path`, whole or not."""
        return self.path.exists()

    def params(self) -> dict[str, Any]:
        """What the artifact was made with.

        Raises:
            MissingInput: params.json is missing, unreadable, or of another fingerprint.
        """
        path = self.path / PARAMS
        try:
            params = json.loads(path.read_text(encoding="utf-8"))
            if params.get("format", 1) > FORMAT:
                raise MissingInput(
                    f"{path} is of format {params['format']}, and this program knows formats up to {FORMAT}: use the "
                    f"newer program that made it, or another --root, or rebuild it with --force {self.task}"
                )
            if params["fingerprint"] != self.fingerprint:
                raise self._damage(f"{path} is of {params['fingerprint']}, not {self.fingerprint}")
            if not _holds_together(params):
                raise self._damage(f"{path} does not hold together: it was changed after it was published")
            return dict(params)
        except FileNotFoundError:
            raise self._damage(f"{path} is missing") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damage(f"{path} cannot be read ({error})") from error

    def complete(self) -> bool:
        """The folder is there with every file that params.json lists.

        Raises:
            MissingInput: the folder is there but damaged; the text names the file.
        """
        if not self.exists():
            return False
        for name, record in self.params()["files"].items():
            path = inside(self.path, name)
            if not path.is_file():
                raise self._damage(f"{path} is missing")
            if (size := path.stat().st_size) != record["bytes"]:
                raise self._damage(f"{path} has {size} bytes, not {record['bytes']}")
        return True

    def verify(self, tell: Callable[[int], None] = lambda read: None) -> None:
        """Read every file that params.json lists, and compare its sha256 with the one that was published.

        A file that was found right is not read again by this process, unless it was written to since.

        Args:
            tell: told of each file's bytes, once they are read.

        Raises:
            MissingInput: there is no artifact, or it is damaged; the text names the file.
        """
        if not self.complete():
            raise self._damage(f"{self.path} is missing")
        for name, record in self.params()["files"].items():
            if sha256_once(inside(self.path, name)) != record["sha256"]:
                raise self._damage(f"{self.path / name} has other bytes than were published")
            tell(record["bytes"])

    def read_text(self, name: str) -> str | None:
        """The text of one of the files, after its sha256 was compared; None where the artifact has no such file.

        Raises:
            MissingInput: the artifact is damaged.
        """
        record = self.params()["files"].get(name)
        if record is None:
            return None
        try:
            content = inside(self.path, name).read_bytes()
        except OSError as error:
            raise self._damage(f"{self.path / name} cannot be read ({error})") from error
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise self._damage(f"{self.path / name} has other bytes than were published")
        return content.decode("utf-8")

    def damage(self) -> str | None:
        """What is wrong with the artifact, if anything is."""
        try:
            self.complete()
        except MissingInput as error:
            return str(error)
        return None

    def content(self) -> str:
        """The digest of the data files as they were published."""
        return str(self.params()["content"])

    def metrics(self) -> dict[str, Any]:
        """The numbers in metrics.json; empty where the task has none.

        Raises:
            MissingInput: the artifact is damaged.
        """
        text = self.read_text("metrics.json")
        return {} if text is None else dict(json.loads(text))

    def _damage(self, what: str) -> MissingInput:
        return MissingInput(f"damaged artifact: {what}; rebuild it with --force {self.task}")
