"""docs/settings.md: every setting, by section, from the classes of ebm_tf/config.py and the tasks that read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ebm_tf.config import Experiment, Setting, describe_settings
from pipelines.tasks import TASKS

PAGE = Path("docs/settings.md")
HEAD = """\
# Every setting

<!-- Written by tools/write_base_config.py from ebm_tf/config.py; edit there. -->

An experiment is a YAML file of those settings that differ from the defaults below ([how](../README.md#configs)), or
`--set section.key=value` for single ones. Unknown keys are refused, with the nearest known name; so are values out of
range. The defaults are the paper's, where it names one
([where it and the released code differ](method.md#where-paper-and-released-code-differ)).
Shipped configs change them: `python cli.py configs digits` lists every value of one.

**A result knows the settings that it depends on.** "Read by" names the tasks that a section, or a part of it, goes
into as long as all else is at its default: when such a setting changes, these and what stands on them run anew, and
the rest is reused. `python cli.py plan` says what, before anything runs. A dash in place of a default means that the
meaning tells it.
"""


def settings_page() -> str:
    """The text of the page."""
    sections: dict[str, list[Setting]] = {"": []}
    for setting in describe_settings():
        sections.setdefault(setting.path.rpartition(".")[0], []).append(setting)
    return "\n".join([HEAD, *(line for name, rows in sections.items() for line in _section(name, rows))])


def meaning_of(section: str) -> str:
    """What the class of a section says of it."""
    return (Experiment.model_fields[section].annotation.__doc__ or "").strip()


def _section(name: str, rows: list[Setting]) -> Iterator[str]:
    if name:
        paragraphs = [" ".join(part.split()) for part in meaning_of(name).split("\n\n")]
        yield from (f"## {name}", "", *(line for text in paragraphs for line in (_plain(text), "")))
        yield from (
            f"Read by {', '.join(f'`{task}`' for task in readers(name)) or 'no task: it changes no result'}.",
            "",
        )
    else:
        yield from ("## At the top", "")
    yield from ("| setting | default | allowed | meaning |", "| --- | --- | --- | --- |")
    for row in rows:
        key = row.path.rpartition(".")[2]
        place = f'<a id="{row.path}"></a>`{key}`'
        yield f"| {place} | {_written(row.default)} | {_allowed(row.type)} | {_plain(row.description)} |"
    yield ""


def readers(section: str) -> list[str]:
    """The tasks that depend on a setting of a section, in the order of the pipeline."""
    experiment = Experiment().model_dump(mode="json")
    return [
        name
        for name, task in TASKS.items()
        if any(_within(path, section) for path in task.settings_of(experiment))
    ]


def _within(path: str, section: str) -> bool:
    return path == section or path.startswith(f"{section}.")


def _allowed(words: str) -> str:
    """Such as "`fifo`, `reservoir`", "list of int" or "int, ≥ 1"."""
    start = "list of " if words.startswith("list of ") else ""
    choices = words[len(start) :].split(" | ")
    if len(choices) > 1:
        return start + ", ".join(f"`{choice}`" for choice in choices)
    return _plain(words.replace(">=", "≥").replace("<=", "≤"))


def _written(default: object) -> str:
    return "–" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def _plain(text: str) -> str:
    """Text in which Markdown sees nothing but words."""
    for mark in "\\|*_[]":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("<", "&lt;").replace(">", "&gt;")
