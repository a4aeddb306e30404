"""The command lines that Markdown files show, so that a test can hold them against the program."""

from __future__ import annotations

import re
import shlex

from tools.documentation.links import FENCE

SHELLS = ("", "bash", "console")
IN_A_LINE = re.compile(r"(?<!`)`((?:\$ )?python cli\.py [^`]+)`(?!`)")
START = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*python cli\.py +(.*)$")


def commands_of(text: str) -> list[list[str]]:
    """The arguments of every `python cli.py ...` in a Markdown text, in blocks and in lines, without comments."""
    lines = [
        line.strip()
        for block in FENCE.finditer(text)
        if block["language"].strip() in SHELLS
        for line in block["code"].replace("\\\n", " ").splitlines()
    ]
    lines += [" ".join(found.split()) for found in IN_A_LINE.findall(text)]
    return [shlex.split(match[1], comments=True) for line in lines if (match := START.match(line))]
