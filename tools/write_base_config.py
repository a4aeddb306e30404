"""Write configs/base.yaml and docs/settings.md: every setting with its default, range and meaning."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ebm_tf.config import Setting, describe_settings
from ebm_tf.config_files import CONFIG_FOLDER
from tools.documentation.settings_page import PAGE, meaning_of, settings_page

HEAD = """\
# Every setting with its default: the paper's, where it names one. The other configs extend this one.
#
# Written by tools/write_base_config.py from ebm_tf/config.py; edit there.
# Command: python cli.py configs base
"""


def base_config() -> str:
    """The text of configs/base.yaml."""
    lines, section = [HEAD.rstrip()], ""
    for setting in describe_settings():
        *parents, key = setting.path.split(".")
        if parents and parents[0] != section:
            section = parents[0]
            lines += ["", f"# {meaning_of(section).splitlines()[0]}", f"{section}:"]
        lines += _entry(setting, key, indent="  " if parents else "")
    return "\n".join(lines) + "\n"


def _entry(setting: Setting, key: str, indent: str) -> list[str]:
    comment = f"{setting.description} ({setting.type})"
    wrapped = textwrap.wrap(comment, 100 - len(indent), initial_indent="# ", subsequent_indent="# ")
    return [*(indent + line for line in wrapped), f"{indent}{key}: {_as_yaml(setting.default)}"]


def _as_yaml(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    (CONFIG_FOLDER / "base.yaml").write_text(base_config(), encoding="utf-8")
    (CONFIG_FOLDER.parent / PAGE).write_text(settings_page(), encoding="utf-8")
