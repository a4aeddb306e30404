"""Equations as MathML, which browsers set by themselves: a page needs no script and no network.

Written as code hosts take them, too: `$...$` in a line, and `$$...$$` as a paragraph of its own.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

DISPLAYED = re.compile(r"^\$\$\s*(.+?)\s*\$\$$", re.MULTILINE | re.DOTALL)
IN_A_LINE = r"(?<![\\$\w])\$(?=\S)([^$]+?)(?<=\S)\$(?![\w$])"
PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3, "mroot": 2}
AFTER_FENCES, BEFORE_ESCAPES = (
    24,
    185,
)  # places among Markdown's own: code is left alone, \ and _ are still as written


class UnknownMaths(Exception):
    """LaTeX that cannot be turned into MathML. The text is one line, with the equation."""


def mathml(latex: str, display: str) -> str:
    """An equation as a `<math>` element.

    Args:
        display: "inline" or "block".

    Raises:
        UnknownMaths: it has a command that is not known, or is not complete.
    """
    try:
        written = convert(latex, display=display)
        tree = ElementTree.fromstring(written)
    except Exception as error:  # of many kinds, of which the converter names no common one
        raise UnknownMaths(f"cannot read the equation {latex!r}: {error or type(error).__name__}") from error
    left = "".join(tree.itertext())
    if "\\" in left or "$" in left:
        raise UnknownMaths(f"the equation {latex!r} has a command that is not known; it leaves {left!r}")
    for element in tree.iter():
        wanted = PARTS.get(element.tag.rpartition("}")[2])
        if wanted not in (None, len(element)):
            raise UnknownMaths(
                f"the equation {latex!r} is not complete: a part of a fraction or an index is missing"
            )
    return written


class Maths(Extension):
    """The extension of Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Markdown's name)
        md.preprocessors.register(_Displayed(md), "maths_displayed", AFTER_FENCES)
        md.inlinePatterns.register(_InALine(IN_A_LINE, md), "maths", BEFORE_ESCAPES)


class _Displayed(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        def stash(found: re.Match[str]) -> str:
            element = f'<div class="equation">{mathml(found[1], "block")}</div>'
            return f"\n\n{self.md.htmlStash.store(element)}\n\n"

        return DISPLAYED.sub(stash, "\n".join(lines)).split("\n")


class _InALine(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Any, int, int]:  # noqa: N802 (Markdown's name)
        return self.md.htmlStash.store(mathml(m[1], "inline")), m.start(0), m.end(0)
