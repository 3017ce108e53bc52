"""Log lines of the server for people (`ORION_LOG_FORMAT=text`), protected against forged lines in logged texts.

A leaf that imports only the standard library and the masks, because settings refer to it. For machines there is
`orionflow.json_lines`.
"""

from __future__ import annotations

import logging
import re

from orionflow.contract.masking import known

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# Characters that move a terminal's cursor, or change colours or the direction of text; newlines and tabs are kept.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_INDENT = "\n    "


class LineFormatter(logging.Formatter):
    """One line for each record; further lines, such as a traceback or the rest of a message, are indented."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        text = known.masked(super().format(record)).rstrip("\n")
        return _CONTROLS.sub(_escaped, text).replace("\n", _INDENT)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
