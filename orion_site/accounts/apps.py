"""Who may do what. Until users exist there is one local owner."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "orion_site.accounts"
    label = "accounts"
