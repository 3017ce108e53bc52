"""Deployments, their schedules, and runs of deployments that programs start."""

from __future__ import annotations

from orionflow import schedules
from orionflow.deployments.definition import Deployment
from orionflow.deployments.running import run_deployment
from orionflow.deployments.serving import serve
from orionflow.schedules import *  # noqa: F403 - every kind there is

__all__ = ["Deployment", "run_deployment", "serve", *schedules.__all__]
