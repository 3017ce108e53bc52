"""Deployments from files: `orion.yaml` read, compared with what the API has, and handed over."""

from __future__ import annotations
