"""Cells of the grid of runs and tasks. A template would take too long for fifteen hundred of them."""

from __future__ import annotations

from urllib.parse import quote

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orionflow.contract.states import BAD
from runs.pages.selectors.task_grid import TASK_RUNS_READ, Cell, GridRow, TaskGrid
from runs.templatetags.states import colour, look

register = template.Library()
NOTHING = format_html("<td>{}</td>", "")


@register.simple_tag
def grid_cells(grid: TaskGrid, row: GridRow) -> SafeString:
    """Render the cells of a task, each as the shape of its worst state; a failure leads to its task runs."""
    looks: dict[tuple[tuple[str, int], ...], SafeString] = {}
    rendered = []
    for run, cell in zip(grid.runs, row.cells, strict=True):
        if cell is None:
            rendered.append(NOTHING)
        elif cell.state_type in BAD:
            address = f"{reverse('runs:run', args=[run.pk])}?tab=tasks&task={quote(row.key, safe='')}"
            rendered.append(_cell(cell, format_html('<a href="{}"><i>{}</i></a>', address, _words(cell))))
        else:
            known = (*cell.by_type.items(), ("", int(cell.is_cut)))
            if known not in looks:
                looks[known] = _cell(cell, format_html("<i>{}</i>", _words(cell)))
            rendered.append(looks[known])
    return format_html_join("", "{}", ((one,) for one in rendered))


def _cell(cell: Cell, content: SafeString) -> SafeString:
    css = f"{colour(cell.state_type)}{' partly' if cell.is_cut else ''}"
    return format_html('<td class="{}" title="{}">{}</td>', css, _words(cell), content)


def _words(cell: Cell) -> str:
    numbers = [f"{number} {look(state_type, None)[1].lower()}" for state_type, number in cell.by_type.items()]
    words = ", ".join(numbers)
    return f"More than {TASK_RUNS_READ}, among them {words}" if cell.is_cut else words
