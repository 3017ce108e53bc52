"""Syntax highlighting of code blocks: tokens get short class names, which `help.css` colours in both themes."""

from __future__ import annotations

# Blocks of these languages are output or plain text.
_PLAIN = frozenset({"", "text"})


def coloured(code: str, language: str, attributes: str) -> str:
    """Return the code as HTML for markdown-it; if the result is empty, markdown-it escapes the code itself."""
    if language in _PLAIN:
        return ""
    # Pygments takes a moment to load, and most servers show no help.
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
