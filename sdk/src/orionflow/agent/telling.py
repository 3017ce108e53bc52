"""What an agent says on its terminal: one line for each thing that happens."""

from __future__ import annotations

import logging

from orionflow.logging import set_up

teller = logging.LoggerAdapter(logging.getLogger("orionflow.agent"), {"run_label": ""})


def begin_telling() -> None:
    set_up()
