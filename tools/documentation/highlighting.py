"""Code in colours, by Pygments alone: no script, no network."""

from __future__ import annotations

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

CLASS, STYLE = "highlight", "default"


def as_html(code: str, name: str, lines: bool = False) -> str:
    """Code as an HTML block.

    Args:
        name: of its file, which tells the language.
        lines: whether each line can be linked to, as #line-N.
    """
    try:
        lexer = get_lexer_for_filename(name, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    return highlight(code, lexer, HtmlFormatter(cssclass=CLASS, linespans="line" if lines else ""))


def style_sheet() -> str:
    """The colours."""
    return f"{HtmlFormatter(style=STYLE).get_style_defs(f'.{CLASS}')}\n"
