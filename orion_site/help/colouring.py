"""Colours for blocks of code: words get short class names, and `help.css` colours these in both themes."""

from __future__ import annotations

# Blocks of these languages are output, or nothing that anybody reads by its colours.
_PLAIN = frozenset({"", "text"})


def coloured(code: str, language: str, attributes: str) -> str:
    """The code as HTML for markdown-it, which escapes it itself where nothing is returned."""
    if language in _PLAIN:
        return ""
    # It takes a moment to load, and most who start a server read no help.
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
