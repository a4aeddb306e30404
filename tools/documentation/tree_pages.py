"""Pages for what the documentation links to outside docs/: source files, configs, the README and its kind.

A file `ebm_tf/losses.py` of the repository is the page `tree/ebm_tf/losses.py.md` of the site, a Markdown file keeps
its name, a picture is copied, a folder becomes a list of its files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Union

from tools.documentation.highlighting import as_html
from tools.documentation.links import Link, links_of, without_code
from tools.documentation.quoting import quote

DOCS, TREE = "docs", "tree"
PICTURES = (".png", ".svg", ".gif", ".jpg")
CODE_LINK = re.compile(r"^\[[^\]\n]*\]\((?P<target>[^()\s#]+\.py#[\w.]+)\)$", re.MULTILINE)


class BrokenLink(Exception):
    """A link leads nowhere. The text is one line: where it stands, and what it says."""


class Tree:
    """The files of the repository as pages of the site."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def pages(self, documents: Iterable[Path]) -> Iterator[tuple[str, Union[str, bytes]]]:
        """Place in the site and content of every file outside docs/ that documents link to, and these in turn."""
        waiting, seen = list(documents), set[str]()
        while waiting:
            document = waiting.pop()
            origin = document.relative_to(self.repository).as_posix()
            for link in links_of(document.read_text(encoding="utf-8")):
                target = target_of(link, origin)
                if target is None or target in seen or target.startswith(f"{DOCS}/"):
                    continue
                seen.add(target)
                path = self.repository / target
                if not path.exists():
                    raise BrokenLink(f"{origin} links to {link.target}, which is not there")
                yield self._page(target)
                if target.endswith(".md"):
                    waiting.append(path)

    def on_the_site(self, text: str, place: str) -> str:
        """The document at a place of the site, whose root is docs/, with the links and the code that it has there."""
        origin, parts, end = origin_of(place), [], 0
        quoted = {match.start("target"): match.end() for match in CODE_LINK.finditer(without_code(text))}
        for link in links_of(text):
            target = target_of(link, origin)
            if target is None:
                continue
            parts += [text[end : link.start], self._address(target, link.fragment, place)]
            end = link.end
            if link.start in quoted:
                closing = quoted[link.start]
                code = as_html(quote(self.repository / target, link.fragment).code, target)
                parts += [text[end:closing], "\n{: .quoted }\n\n", code, "\n"]
                end = closing
        return "".join([*parts, text[end:]])

    def _address(self, target: str, fragment: str, place: str) -> str:
        """Of a file of the repository, as the page at `place` links to it."""
        there = posixpath.relpath(self._place(target), posixpath.dirname(place) or ".")
        if target.endswith(".py") and fragment:
            fragment = f"line-{quote(self.repository / target, fragment).line}"
        return there + (f"#{fragment}" if fragment else "")

    def _place(self, target: str) -> str:
        """Where a file of the repository is in the site."""
        if target.startswith(f"{DOCS}/"):
            return target[len(DOCS) + 1 :]
        if (self.repository / target).is_dir():
            return f"{TREE}/{target}/index.md"
        return f"{TREE}/{target}" + ("" if target.endswith((".md", *PICTURES)) else ".md")

    def _page(self, target: str) -> tuple[str, Union[str, bytes]]:
        path, place = self.repository / target, self._place(target)
        if path.is_dir():
            files = sorted(
                each.name + "/" * each.is_dir() for each in path.iterdir() if each.name[0] not in "._"
            )
            return place, "\n".join([f"# {target}", "", *(f"- `{name}`" for name in files), ""])
        if target.endswith(PICTURES):
            return place, path.read_bytes()
        text = path.read_text(encoding="utf-8")
        if target.endswith(".md"):
            return place, text
        return place, f"# {target}\n\n{as_html(text, path.name, lines=True)}\n"


def target_of(link: Link, origin: str) -> str | None:
    """The file or folder of the repository that a link leads to; None if it leads out, or within its own file."""
    if link.external or not link.path:
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link.path))


def origin_of(place: str) -> str:
    """The file of the repository that a page of the site comes from."""
    return place[len(TREE) + 1 :] if place.startswith(f"{TREE}/") else f"{DOCS}/{place}"
