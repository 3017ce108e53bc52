"""Draw the last runs of a deployment in a template."""

from __future__ import annotations

from django import template

from deployments.pages.bars import Bars, bars_of
from deployments.pages.selectors.deployment_lines import DeploymentLine

register = template.Library()


@register.filter
def bars(line: DeploymentLine) -> Bars:
    return bars_of(line.last_runs, line.now)
