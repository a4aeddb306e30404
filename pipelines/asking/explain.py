"""Why a task would run, or why not: what a plan says in one line each, and the tree of causes down to the roots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import MissingInput
from pipelines.artifact import Artifact
from pipelines.asking.changes import INPUT, SETTING, Change, Past
from pipelines.asking.records import Record, inputs, label, unusable
from pipelines.asking.times import started
from pipelines.lock import holder
from pipelines.provenance import git_revision, host, versions
from pipelines.stage_task import StageTask
from pipelines.trees import tree

MOST_SETTINGS_NAMED = 3
FORCED, DAMAGED, REBUILT, GONE, NEVER_BUILT = "forced", "damaged", "rebuilt", "gone", "never built"
REFUSE = "refuse"


@dataclass(frozen=True)
class Cause:
    """One reason to run.

    Attributes:
        kind: setting, version, input, rebuilt, forced, damaged, gone or never built.
        words: the reason in a line.
        name: the setting or input.
        was: its value, or fingerprint, in the artifact that is compared with.
        now: what it is now.
        below: of an input, what is said of that in turn.
    """

    kind: str
    words: str
    name: str = ""
    was: Any = None
    now: Any = None
    below: Optional[Explanation] = None


@dataclass(frozen=True)
class Explanation:
    """Why one task would run, or is up to date.

    Attributes:
        task: its title.
        artifact: "Task/fingerprint" of its result, built or not.
        state: run; reuse, also of an input that is there but another than before; damaged; or refuse, as a run would
            where something is damaged that the task stands on.
        owner: who builds it just now, if anyone.
        causes: why it runs, or why it is another than what it is compared with; empty of what is up to date.
        was_built: of what is up to date, why: in what it differs from the nearest artifact that was there before.
        compared: "Task/fingerprint" of the earlier artifact that it is compared with.
        compared_started: when that was begun, in ISO 8601.
        made_from: of what is up to date, the artifacts that it was made from, by input.
        record: of what is up to date, when and in how many seconds it was made.
        depends_on: of what is up to date, by task the settings whose change would make it run again.
        remarks: what differs since and makes nothing run: libraries, revision, machine.
    """

    task: str
    artifact: str
    state: str
    causes: tuple[Cause, ...] = ()
    was_built: tuple[Cause, ...] = ()
    owner: Optional[str] = None
    compared: Optional[str] = None
    compared_started: Optional[str] = None
    made_from: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    depends_on: dict[str, list[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Plan:
    """What a run would do with a task and with each that it stands on.

    A task whose inputs will be rebuilt counts as run; should they come out identical, it is reused after all.

    Attributes:
        steps: all of them, each after those that it needs.
        causes: the reasons to run of each, by key; those of an input that changes have no tree below.
        needed: keys of those that would run: there is a reason, and the task, or something that runs, asks for them.
    """

    def __init__(self, root_task: StageTask, past: Past, forced: Collection[str] = ()) -> None:
        """Look; nothing is written.

        Args:
            root_task: the task that would be run.
            past: what was built below its root before.
            forced: keys of tasks that are rebuilt although they are there.
        """
        self.root_task = root_task
        self.past = past
        self.steps = tree(root_task)
        self.causes: dict[str, list[Cause]] = {}
        self._forced = set(forced)
        for task in self.steps:
            self.causes[task.key] = self._causes(task)
        self.needed = self._needed(root_task)
        # What is there, but reads something that runs only because another task lacks it.
        while unsettled := [task for task in self.steps if not self.causes[task.key] and self._fed(task)]:
            task = unsettled[0]
            self.causes[task.key] = self._fed(task)
            self.needed = self._needed(root_task)

    def damage(self) -> list[str]:
        """What is wrong with artifacts that the task stands on: because of it a run would refuse."""
        return [
            cause.words for task in self.steps for cause in self.causes[task.key] if cause.kind == DAMAGED
        ]

    def runs(self, task: StageTask) -> bool:
        """Whether a run would build it."""
        return task.key in self.needed and bool(self.causes[task.key])

    def _causes(self, task: StageTask) -> list[Cause]:
        if task.key in self._forced or task.artifact.rebuild_wanted:
            return [Cause(FORCED, "forced")]
        if damage := task.artifact.damage():
            return [Cause(DAMAGED, damage)]
        if not task.artifact.exists():
            earlier = self.past.nearest(task)
            changes = [] if earlier is None else self.past.changes(task, earlier)
            return [cause_of(change) for change in changes] or [Cause(NEVER_BUILT, "never built")]
        try:
            return self.changing(task) or [
                Cause(REBUILT, f"input {name} was rebuilt", name) for name in task.rebuilt_inputs()
            ]
        except MissingInput as error:
            return [Cause(DAMAGED, str(error))]

    def changing(self, task: StageTask) -> list[Cause]:
        """The inputs that a run would make anew, and not only because they are gone."""
        return [
            self._changing(name, upstream)
            for name, upstream in self.past.sources(task).items()
            if self.causes[upstream.key] and not self._only_missing(upstream)
        ]

    def _changing(self, name: str, upstream: StageTask) -> Cause:
        damaged = any(cause.kind == DAMAGED for cause in self.causes[upstream.key])
        words = f"input {upstream.title} {'is damaged' if damaged else 'changes'}"
        return Cause(INPUT, words, name, upstream.fingerprint, upstream.fingerprint)

    def _only_missing(self, task: StageTask) -> bool:
        """The artifact is gone, but nothing says that it would come out differently."""
        return not task.artifact.exists() and not any(
            step.key in self._forced
            or step.artifact.rebuild_wanted
            or any(cause.kind in (DAMAGED, REBUILT) for cause in self.causes[step.key])
            for step in tree(task)
        )

    def _needed(self, task: StageTask) -> set[str]:
        if not self.causes[task.key]:
            return set()
        return {task.key}.union(*(self._needed(upstream) for upstream in self.past.sources(task).values()))

    def _fed(self, task: StageTask) -> list[Cause]:
        return [
            self._changing(name, upstream)
            for name, upstream in self.past.sources(task).items()
            if self.needed and upstream.key in self.needed
        ]


def cause_of(change: Change) -> Cause:
    """A difference as a reason to run."""
    return Cause(change.kind, change.words, change.name, change.was, change.now)


def reason(causes: Collection[Cause]) -> str:
    """The reasons in one line: the settings, or else the first of the others."""
    settings = [cause.words for cause in causes if cause.kind == SETTING]
    if not settings:
        return next(iter(causes)).words
    more = len(settings) - MOST_SETTINGS_NAMED
    named = "; ".join(settings[:MOST_SETTINGS_NAMED])
    return f"setting {named}" + (f"; and {more} more" if more > 0 else "")


def explain(root_task: StageTask) -> Explanation:
    """Why a run of the task would build it, down to the roots, or why it would not.

    Raises:
        MissingInput: it would not, but its record does not tell what it was made from.
    """
    plan = Plan(root_task, Past(Path(root_task.root)))
    if not plan.causes[root_task.key]:
        return _up_to_date(root_task, plan)
    own = plan.past.records.get(root_task.name(), root_task.fingerprint)
    return _explained(root_task, plan, own or plan.past.nearest(root_task))


def _explained(task: StageTask, plan: Plan, earlier: Optional[Record]) -> Explanation:
    """Why a task runs, and why it is another than `earlier` tells; that may be its own record."""
    own = plan.causes[task.key]
    if not task.artifact.exists():
        own = [cause for cause in own if cause.kind == FORCED]
    changes = [] if earlier is None else map(cause_of, plan.past.changes(task, earlier))
    causes = {(cause.kind, cause.name): cause for cause in [*own, *changes]}
    return Explanation(
        task.title,
        task.key,
        _state(task, plan),
        tuple(_with_below(cause, task, plan) for cause in causes.values())
        or (() if task.artifact.exists() else (Cause(NEVER_BUILT, "never built"),)),
        owner=holder(task.artifact),
        **_compared(task, earlier),
        remarks=() if earlier is None else tuple(since(earlier)),
    )


def _state(task: StageTask, plan: Plan) -> str:
    if any(cause.kind == DAMAGED for cause in plan.causes[task.key]):
        return DAMAGED
    if any(cause.kind == DAMAGED for step in tree(task) for cause in plan.causes[step.key]):
        return REFUSE
    return "run" if plan.runs(task) else "reuse"


def _with_below(cause: Cause, task: StageTask, plan: Plan) -> Cause:
    """An input's cause with what is said of that input: compared with the one that was read before, if known."""
    upstream = plan.past.sources(task).get(cause.name)
    if cause.kind != INPUT or upstream is None:
        return cause
    before = plan.past.records.get(upstream.name(), cause.was)
    if cause.was == cause.now and not upstream.artifact.exists():
        causes = [Cause(GONE, "its artifact was removed since"), *plan.changing(upstream)]
        expanded = tuple(_with_below(each, upstream, plan) for each in causes)
        owner = holder(upstream.artifact)
        below = Explanation(upstream.title, upstream.key, _state(upstream, plan), expanded, owner=owner)
    else:
        below = _explained(upstream, plan, before or plan.past.nearest(upstream))
    return replace(cause, below=below)


def _up_to_date(task: StageTask, plan: Plan) -> Explanation:
    past = plan.past
    record = past.records.get(task.name(), task.fingerprint)
    if record is None:
        raise MissingInput(unusable(task.artifact))
    known = ("started", "seconds", "attempts", "host")
    earlier = past.nearest(task, before=started(record))
    changes = [] if earlier is None else past.changes(task, earlier)
    return Explanation(
        task.title,
        task.key,
        "reuse",
        was_built=tuple(_with_below(cause_of(change), task, plan) for change in changes),
        **_compared(task, earlier),
        made_from={name: label(made) for name, made in inputs(Path(task.root), record).items()},
        record={key: record[key] for key in known if key in record},
        depends_on={step.title: _names(step.settings) for step in reversed(tree(task)) if step.settings},
        remarks=tuple(since(record)),
    )


def _compared(task: StageTask, earlier: Optional[Record]) -> dict[str, Any]:
    """Which artifact a task is compared with, and when that was begun."""
    if earlier is None:
        return {}
    other = Artifact(Path(task.root), task.name(), earlier["fingerprint"])
    return {"compared": label(other), "compared_started": earlier.get("started")}


def _names(settings: Mapping[str, Any]) -> list[str]:
    """Dotted names of settings; a list, which may hold sections, is one."""
    return [
        f"{section}.{key}" if key else section
        for section, values in settings.items()
        for key in (values if isinstance(values, Mapping) else ("",))
    ]


def since(record: Mapping[str, Any]) -> list[str]:
    """What an artifact was made with that is otherwise now; none of it makes a task run."""
    was = {
        **record.get("versions", {}),
        "git revision": record.get("git_revision"),
        "machine": record.get("host"),
    }
    now = {**versions(), "git revision": git_revision(), "machine": host()}
    return [
        f"{name} was {was[name]}, is {now.get(name, 'not there')}"
        for name in was
        if was[name] is not None and was[name] != now.get(name)
    ]
