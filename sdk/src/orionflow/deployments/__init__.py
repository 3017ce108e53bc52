"""Handing flows over: deployments, their schedules, and runs of them asked for by programs."""

from __future__ import annotations

from orionflow.deployments.definition import Deployment
from orionflow.deployments.running import run_deployment
from orionflow.deployments.schedules import Cron, ICalendar, Interval, RRule, Schedule
from orionflow.deployments.serving import serve

__all__ = ["Cron", "Deployment", "ICalendar", "Interval", "RRule", "Schedule", "run_deployment", "serve"]
