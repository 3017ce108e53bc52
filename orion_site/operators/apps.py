"""The app for the models of the admin that belong to no other app."""

from __future__ import annotations

from django.apps import AppConfig


class OperatorsConfig(AppConfig):
    name = "orion_site.operators"
    label = "operators"
