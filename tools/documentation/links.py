"""The links of a Markdown file, and the names that its headings can be linked by, as code hosts make them.

Read without rendering, so that the same rules hold for the files as they stand in the repository and for the site.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

FENCE = re.compile(
    r"^ *(?P<fence>`{3,}|~{3,})(?P<language>[^\n]*)\n(?P<code>.*?)^ *(?P=fence)[`~]* *$",
    re.MULTILINE | re.DOTALL,
)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
MARKDOWN_LINK = re.compile(r"\]\((?P<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*?\s(?:href|src)=\"(?P<target>[^\"]*)\"")
AUTOMATIC_LINK = re.compile(r"<(?P<target>https?://[^>\s]+)>")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
HTML_NAME = re.compile(r"<[a-z]+\b[^>]*?\s(?:id|name)=\"([^\"]+)\"")


BUILT = ("artifacts", "runs", "site", "build", "dist")
"""Folders with nothing that was written by hand."""


class Link(NamedTuple):
    """One link: where it leads, as written, and between which characters of the text that stands."""

    target: str
    start: int
    end: int

    @property
    def external(self) -> bool:
        """Whether it leads out of the repository."""
        return bool(urlsplit(self.target).scheme)

    @property
    def path(self) -> str:
        """The file that it names, as written from its own file; empty for the file itself."""
        return unquote(urlsplit(self.target).path)

    @property
    def fragment(self) -> str:
        """The place in that file, without the #."""
        return unquote(urlsplit(self.target).fragment)


def without_code(text: str) -> str:
    """The text with code in it blanked, every character elsewhere where it was."""
    return CODE_SPAN.sub(_blank, _without_blocks(text))


def links_of(text: str) -> list[Link]:
    """Links and pictures of a Markdown text, in their order; none of what stands in code."""
    plain = without_code(text)
    found = [
        Link(match["target"], *match.span("target"))
        for pattern in (MARKDOWN_LINK, HTML_LINK, AUTOMATIC_LINK)
        for match in pattern.finditer(plain)
    ]
    return sorted(found, key=lambda link: link.start)


def anchors_of(text: str) -> set[str]:
    """What can stand behind a # in a link to a Markdown text: headings and HTML names."""
    plain = _without_blocks(text)
    found = set(HTML_NAME.findall(without_code(text)))
    seen: dict[str, int] = {}
    for _, heading in HEADING.findall(plain):
        slug = slug_of(_words_of(heading))
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def slug_of(words: str, separator: str = "-") -> str:
    """The name of a heading in links: small letters, no punctuation, a dash for each space."""
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", separator)


def markdown_files(repository: Path) -> list[Path]:
    """Every Markdown file of the project, none of what was installed or built."""
    found: list[Path] = []
    for folder, inner, names in os.walk(repository):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in BUILT]
        found += [Path(folder, name) for name in names if name.endswith(".md")]
    return sorted(found)


def _without_blocks(text: str) -> str:
    return FENCE.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found.group())


def _words_of(heading: str) -> str:
    """A heading without its marks: of links the words, of code the text."""
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
