"""Check the links of every Markdown file: files, headings and names in code that they lead to.

    python -m tools.check_links               what is in the repository; needs no network
    python -m tools.check_links --external    also ask each address on the web, once

Each problem is a line FILE:LINE on standard output, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Optional
from urllib.parse import urlsplit

from tools.documentation.links import Link, anchors_of, links_of, markdown_files
from tools.documentation.quoting import NotThere, quote

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 20.0
# Answers of servers that want no programs: they say nothing of the page.
REFUSALS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class Found(NamedTuple):
    """A link, and where it stands."""

    file: Path
    line: int
    link: Link

    def at_fault(self, problem: str) -> str:
        """The line that tells a problem."""
        return f"{self.file}:{self.line}: {self.link.target}: {problem}"


def found_in(repository: Path) -> Iterator[Found]:
    """Every link of the Markdown files of a repository."""
    for path in markdown_files(repository):
        yield from links_in(path)


def links_in(path: Path) -> Iterator[Found]:
    """Every link of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    for link in links_of(text):
        yield Found(path, text.count("\n", 0, link.start) + 1, link)


def problems_of(links: Iterable[Found], repository: Path) -> list[str]:
    """A line for each link with which something is wrong."""
    return [found.at_fault(told) for found in links if (told := problem_of(found, repository))]


def problem_of(found: Found, repository: Path) -> Optional[str]:
    """What is wrong with a link, as far as that is seen without a network; None if nothing is."""
    link = found.link
    if link.external:
        return _malformed(link.target)
    target = (found.file.parent / link.path).resolve() if link.path else found.file
    if repository not in (target, *target.parents):
        return "leads out of the repository"
    if not target.exists():
        return "there is no such file"
    if not link.fragment:
        return None
    if target.suffix == ".md":
        known = anchors_of(target.read_text(encoding="utf-8"))
        return None if link.fragment in known else f"{target.name} has no heading of that name"
    if target.suffix != ".py":
        return "only Markdown and Python files have places to link to"
    try:
        quote(target, link.fragment)
    except NotThere as error:
        return str(error)
    return None


def unreachable(address: str) -> Optional[str]:
    """What the web says against an address; None if it answers, or answers no programs."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code in REFUSALS else f"answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {getattr(error, 'reason', error)}"


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_links", description=__doc__.splitlines()[0])
    parser.add_argument("--external", action="store_true", help="also ask each address on the web")
    wanted = parser.parse_args()
    links = list(found_in(REPOSITORY))
    problems = problems_of(links, REPOSITORY)
    if wanted.external:
        problems += _asked([found for found in links if found.link.external])
    for problem in problems:
        print(problem)
    print(f"{len(links)} links, {len(problems)} problems", file=sys.stderr)
    return 1 if problems else 0


def _asked(links: list[Found]) -> list[str]:
    """The problems of addresses on the web, each asked once."""
    addresses = {found.link.target.partition("#")[0]: found for found in links}
    problems, begun = [], time.monotonic()
    for number, (address, found) in enumerate(addresses.items()):
        left = (
            f", {(time.monotonic() - begun) / number * (len(addresses) - number):.0f} s left"
            if number
            else ""
        )
        print(f"{number + 1} of {len(addresses)}{left}: {address}", file=sys.stderr)
        if told := unreachable(address):
            problems.append(found.at_fault(told))
    return problems


def _malformed(address: str) -> Optional[str]:
    parts = urlsplit(address)
    if parts.scheme == "mailto":
        return None if "@" in parts.path else "is no address for mail"
    if parts.scheme not in ("http", "https"):
        return f"has the scheme {parts.scheme}; give http, https or mailto"
    host = parts.hostname or ""
    local = host in ("localhost", "127.0.0.1")
    return None if local or ("." in host and not host.startswith(".")) else "names no host"


if __name__ == "__main__":
    sys.exit(main())
