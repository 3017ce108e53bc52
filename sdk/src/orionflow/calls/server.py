"""Calls about the server itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orionflow import contract
from orionflow.calls import Call

if TYPE_CHECKING:
    from orionflow.contract.audit import AuditPage, AuditVerified
    from orionflow.contract.records import Bottleneck, Service


def check_health() -> Call[Any]:
    """Check whether the API answers."""
    return Call("GET", "/health", read=Any)


def check_readiness() -> Call[Any]:
    """Check whether the API and its database are ready."""
    return Call("GET", "/ready", read=Any)


def read_me() -> Call[dict[str, Any]]:
    """Read which user the server takes the sender for, and the rights of that user."""
    return Call("GET", "/me", read=dict[str, Any])


def make_link() -> Call[dict[str, Any]]:
    """Create a link that signs a browser on the server's machine in, once."""
    return Call("POST", "/me/link", read=dict[str, Any])


def read_version() -> Call[str]:
    """Read the version of the server."""
    return Call("GET", "/admin/version", read=str)


def read_server_settings() -> Call[dict[str, Any]]:
    """Read the settings of the server, without secrets."""
    return Call("GET", "/admin/settings", read=dict[str, Any])


def read_services() -> Call[list[Service]]:
    """Read the services of the server: their last ticks, lags and errors."""
    return Call("GET", "/admin/services", read=lambda: list[contract.records.Service])


def find_bottlenecks() -> Call[list[Bottleneck]]:
    """Find which parts of the installation delay the others now, at most three, the worst first."""
    return Call("GET", "/admin/bottlenecks", read=lambda: list[contract.records.Bottleneck])


def read_audit_log(criteria: Mapping[str, Any], *, limit: int, after: str | None = None) -> Call[AuditPage]:
    """Read entries of the audit log, newest first, continuing after a previous page."""
    asked = {"filter": dict(criteria), "limit": limit, "after": after}
    return Call("POST", "/audit/filter", asked, read=lambda: contract.audit.AuditPage)


def verify_audit_log(after: Mapping[str, Any] | None = None) -> Call[AuditVerified]:
    """Verify some thousands of entries of the audit log, starting after a given one."""
    asked = {"after": dict(after) if after else None}
    return Call("POST", "/audit/verify", asked, read=lambda: contract.audit.AuditVerified)


def read_api_version() -> Call[str]:
    """Read the version of the API's protocol, as on servers of Prefect."""
    return Call("GET", "/version", read=str)
