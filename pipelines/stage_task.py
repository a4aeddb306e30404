"""What all tasks share: name by fingerprint, judge completeness, build under a lock, publish."""

from __future__ import annotations

import errno
import json
import os
import time
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import luigi
from luigi.parameter import ParameterVisibility

from ebm_tf.config import Experiment
from ebm_tf.errors import Busy, EBMError
from pipelines.artifact import Artifact, canonical_json, fingerprint
from pipelines.attempts import Attempt
from pipelines.interruption import stop_with_parent
from pipelines.journal import Journal
from pipelines.lock import locked
from pipelines.publishing import prepare_work, publish
from pipelines.serving.tensorboard import tracking_url
from pipelines.stage_process import Progress, StageError, run_stage

LUIGI_STATUS_SECONDS = 1.0
LARGE_BYTES = 1 << 28
"""Of inputs whose verification takes long enough to be shown."""

ACCELERATOR = {"accelerator": 1}
"""The Luigi resource that lets one task at a time train, sample or measure a shard."""

Self = TypeVar("Self", bound="StageTask")
Inputs = dict[str, tuple[type["StageTask"], dict[str, Any], str]]
"""What a task reads, by the name that its stage knows it under: task, experiment, and how the latter differs."""


class StageTask(luigi.Task):
    """One stage of an experiment; make one with `of`.

    Attributes:
        VERSION: to be raised when a change of code changes the result.
        SETTINGS: sections of the experiment, or single settings ("section.key"), that the result depends on.
        UPSTREAM: tasks of the same experiment whose artifacts the stage reads.
        ON_REQUEST: not among an experiment's tasks before it was asked for: a task of a study.

    A task whose settings or inputs depend on the experiment has `settings_of` or `inputs_of` of its own; there, an
    input may be a task of another experiment.
    """

    root = luigi.Parameter(description="Folder that holds artifacts/ and runs/.")
    fingerprint = luigi.Parameter(description="Sha256 over task, version, settings and inputs.")
    experiment = luigi.Parameter(
        description="The resolved experiment as JSON.",
        significant=False,
        visibility=ParameterVisibility.PRIVATE,
    )
    journal = luigi.Parameter(
        description="File that the run's events go to.",
        default=os.devnull,
        significant=False,
        visibility=ParameterVisibility.PRIVATE,
    )
    wait = luigi.BoolParameter(
        description="Wait for an artifact that another run builds, instead of giving up.",
        default=True,
        significant=False,
        visibility=ParameterVisibility.PRIVATE,
    )
    variant = luigi.Parameter(
        description="How the experiment differs from the one that was asked for.",
        default="",
        significant=False,
    )

    VERSION: ClassVar[int] = 1
    SETTINGS: ClassVar[tuple[str, ...]] = ()
    UPSTREAM: ClassVar[tuple[type[StageTask], ...]] = ()
    ON_REQUEST: ClassVar[bool] = False

    @classmethod
    def of(
        cls: type[Self],
        experiment: Experiment,
        root: Path,
        journal: Path = Path(os.devnull),
        wait: bool = True,
    ) -> Self:
        """The task of an experiment, with its results below `root`.

        Args:
            journal: file that the run's events go to.
            wait: wait for an artifact that another run builds; otherwise this fails with `Busy`.
        """
        values = canonical_json(experiment.model_dump(mode="json"))
        return cls._of_json(values, "", root=str(root.absolute()), journal=str(journal), wait=wait)

    @classmethod
    def _of_json(cls: type[Self], experiment: str, variant: str, **of_the_run: Any) -> Self:
        identity = _fingerprint(cls, experiment)
        return cls(fingerprint=identity, experiment=experiment, variant=variant, **of_the_run)

    @classmethod
    def settings_of(cls, experiment: dict[str, Any]) -> tuple[str, ...]:
        """What the result depends on, of this experiment: sections, or single settings as "section.key"."""
        return cls.SETTINGS

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """The artifacts that the stage reads, for this experiment."""
        return {upstream.name(): (upstream, experiment, "") for upstream in cls.UPSTREAM}

    @classmethod
    def applies(cls, experiment: dict[str, Any]) -> bool:
        """Whether the experiment has a use for the task; others are not listed among its tasks."""
        return True

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Refuse an experiment that this task can do nothing with, before anything runs.

        Raises:
            ConfigError: it is one.
        """

    @classmethod
    def slice_of(cls, experiment: dict[str, Any]) -> dict[str, Any]:
        """The part of the experiment that the result depends on."""
        chosen: dict[str, Any] = {}
        for path in cls.settings_of(experiment):
            section, _, key = path.partition(".")
            if key:
                chosen.setdefault(section, {})[key] = experiment[section][key]
            else:
                chosen[section] = experiment[section]
        return chosen

    @classmethod
    def name(cls) -> str:
        """The task's name, which is also its stage's."""
        return cls.__name__

    @property
    def title(self) -> str:
        """What people are shown: the name, with what sets the task apart from another of that name."""
        return f"{self.name()} ({self.variant})" if self.variant else self.name()

    @property
    def key(self) -> str:
        """What tells the task from all others."""
        return f"{self.name()}/{self.artifact.short}"

    @property
    def settings(self) -> dict[str, Any]:
        """The slice of the experiment that the result depends on."""
        return self.slice_of(json.loads(self.experiment))

    @property
    def artifact(self) -> Artifact:
        """The task's result, built or not."""
        return Artifact(Path(self.root), self.name(), self.fingerprint)

    def sources(self) -> dict[str, StageTask]:
        """The tasks whose artifacts the stage reads, by the names that it knows them under."""
        return self._sources

    @cached_property
    def _sources(self) -> dict[str, StageTask]:
        of_the_run = {"root": self.root, "journal": self.journal, "wait": self.wait}
        return {
            name: upstream._of_json(canonical_json(experiment), difference or self.variant, **of_the_run)
            for name, (upstream, experiment, difference) in self.inputs_of(
                json.loads(self.experiment)
            ).items()
        }

    def requires(self) -> list[StageTask]:
        """The tasks whose artifacts the stage reads."""
        return list(self.sources().values())

    def output(self) -> luigi.LocalTarget:
        """The artifact's folder."""
        return luigi.LocalTarget(str(self.artifact.path))

    def complete(self) -> bool:
        """The artifact is whole, and nothing that it was made from was rebuilt or is about to be.

        Raises:
            MissingInput: the artifact is damaged.
        """
        return not self.disturbed() and self.artifact.complete()

    def disturbed(self) -> bool:
        """A rebuild is wanted, of this task or of one below it, or has left this artifact behind."""
        return (
            self.artifact.rebuild_wanted
            or any(upstream.disturbed() for upstream in self.requires())
            or bool(self.rebuilt_inputs())
        )

    def rebuilt_inputs(self) -> list[str]:
        """Inputs whose present content is not what this artifact was made from."""
        if not self.artifact.exists():
            return []
        made_from = self.artifact.params()["inputs"]
        return [
            name
            for name, upstream in self.sources().items()
            if upstream.artifact.exists() and upstream.artifact.content() != made_from[name]["content"]
        ]

    def run(self) -> None:
        """Build the artifact, unless another run has done so; the journal gets the ending."""
        journal, started = Journal(Path(self.journal)), time.monotonic()
        stop_with_parent()
        journal.write(self.title, "started", self.key)
        tell = self._progress(journal)

        def waiting(owner: str) -> None:
            tell({"message": f"waits for process {owner}, which builds it"})

        try:
            with locked(self.artifact, waiting if self.wait else None) as lock:
                ending = "reused" if self.complete() else self._build(lock, tell)
        except Exception as error:
            seconds = round(time.monotonic() - started, 2)
            event = "busy" if isinstance(error, Busy) else "failed"
            journal.write(self.title, event, self.key, seconds=seconds, **_described(error, self.root))
            raise
        journal.write(self.title, ending, self.key, seconds=round(time.monotonic() - started, 2))

    def _build(self, lock: int, tell: Progress) -> str:
        artifact, began = self.artifact, datetime.now(timezone.utc)
        inputs = {
            name: {"task": task.name(), "fingerprint": task.fingerprint, "content": task.artifact.content()}
            for name, task in self.sources().items()
        }
        verified = self._verify_inputs(tell)
        prepare_work(artifact, {name: made["content"] for name, made in inputs.items()})
        attempt = Attempt(artifact)
        spec = artifact.work / "spec.json"
        spec.write_text(json.dumps(self.spec(), indent=2) + "\n", encoding="utf-8")

        def progress(event: dict[str, Any]) -> None:
            attempt.note()
            tell(event)

        peak = run_stage(self.name(), self.title, spec, artifact.output, artifact.log, lock, progress)
        if not any(path.is_file() for path in artifact.output.rglob("*")):
            raise StageError(f"{self.title}: its process ended well but wrote no files", 3, artifact.log)
        record = {
            "task": self.name(),
            "version": self.VERSION,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "inputs": inputs,
            "seed": json.loads(self.experiment)["seed"],
            "started": began.isoformat(timespec="seconds"),
            "attempts": attempt.number,
            "seconds": attempt.seconds,
            "seconds_verifying": verified,
            "peak_memory_mib": peak,
            "tracking_url": tracking_url(artifact),
        }
        publish(artifact, record)
        return "ran"

    def _verify_inputs(self, tell: Progress) -> float:
        """Compare what the stage will read with what was published; returns the seconds that this took."""
        began = time.monotonic()
        inputs = list({task.key: task.artifact for task in self.sources().values()}.values())
        total = sum(record["bytes"] for made in inputs for record in made.params()["files"].values())
        done = 0

        def read(count: int) -> None:
            nonlocal done
            done += count
            if total >= LARGE_BYTES:
                tell({"done": done >> 20, "total": total >> 20, "message": "MiB of inputs verified"})

        for artifact in inputs:
            artifact.verify(read)
        return round(time.monotonic() - began, 2)

    def spec(self) -> dict[str, Any]:
        """What its stage is told, see `ebm_tf/stages/context.py`."""
        return {
            "stage": self.name(),
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "compute": json.loads(self.experiment)["compute"],
            "inputs": {name: str(task.artifact.path) for name, task in self.sources().items()},
            "work": str(self.artifact.checkpoints),
        }

    def _progress(self, journal: Journal) -> Progress:
        """A callback that tells the journal, and, not too often, Luigi."""
        told, linked = 0.0, False

        def tell(event: dict[str, Any]) -> None:
            nonlocal told, linked
            done, total, message = event.get("done", 0), event.get("total", 0), str(event.get("message", ""))
            journal.write(self.title, "progress", self.key, done=done, total=total, message=message)
            # Set by Luigi while it runs the task, None otherwise.
            set_message: Any = self.set_status_message
            set_percentage: Any = self.set_progress_percentage
            set_link: Any = self.set_tracking_url
            if time.monotonic() - told >= LUIGI_STATUS_SECONDS and set_message and set_percentage:
                told = time.monotonic()
                set_message(message or "running")
                set_percentage(round(100 * done / total) if total else 0)
                if not linked and set_link and (link := tracking_url(self.artifact)):
                    linked = True
                    set_link(link)

        return tell


@lru_cache(maxsize=8192)
def _fingerprint(task: type[StageTask], experiment: str) -> str:
    """Of a task of an experiment given as canonical JSON."""
    values = json.loads(experiment)
    inputs = {
        name: _fingerprint(upstream, canonical_json(other))
        for name, (upstream, other, _) in task.inputs_of(values).items()
    }
    return fingerprint(task.name(), task.VERSION, task.slice_of(values), inputs)


def _described(error: Exception, root: str) -> dict[str, Any]:
    """An error's line, exit code and log, as the journal has them."""
    if isinstance(error, EBMError):
        log = getattr(error, "log", None)
        return {"message": str(error), "exit_code": error.exit_code, "log": str(log) if log else None}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"the disk is full, make room and run again ({error.strerror}, below {root})"
        return {"message": what, "exit_code": 4, "log": None}
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        what = f"root {root} cannot be written any more ({error.strerror}); have it writable and run again"
        return {"message": what, "exit_code": 4, "log": None}
    return {"message": f"{type(error).__name__}: {error}", "exit_code": 3, "log": None}
