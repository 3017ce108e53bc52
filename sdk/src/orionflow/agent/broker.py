"""The broker for messages to agents: its URL, and Celery settings by which no call to it blocks forever.

Requires the extra `agent` of the SDK. URLs: `redis://host:6379/0`, `amqp://user:password@host//`, and
`filesystem:///absolute/folder` for processes on one machine.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orionflow.errors import UsageError
from orionflow.extras import install_command
from orionflow.private_files import make_private_folder
from orionflow.settings.values import shown_url

PREFIX = "orion:"
FOLDER_TRANSPORT = "orionfolder"
# Seconds between checks of a folder that has no named pipes to wait on.
FOLDER_POLL_SECONDS = 0.02

_FRUGAL: dict[str, Any] = {
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "event_serializer": "json",
    # A message is only a hint: it is deleted when it was taken, and sent again where that matters.
    "task_acks_late": False,
    "task_publish_retry": False,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}


def celery_app(name: str, url: str) -> Any:
    """Return a Celery application for this broker. Raise UsageError when Celery is missing or the URL is unknown."""
    try:
        celery = import_module("celery")
    except ImportError:
        raise UsageError(f"Brokers need Celery; install it with `{install_command('agent')}`.") from None
    broker, transport = transport_of(url)
    app = celery.Celery(name, broker=broker, backend=None, set_as_current=False)
    app.conf.update(_FRUGAL, broker_transport_options=transport)
    if broker.startswith("redis"):
        # Otherwise Redis gives a message to a second worker while it waits in the first one.
        app.conf.worker_disable_prefetch = True
    else:
        app.conf.worker_prefetch_multiplier = 1
    return app


def transport_of(url: str) -> tuple[str, dict[str, Any]]:
    """Return the URL in the form that kombu expects, and its options."""
    match urlsplit(url).scheme.split("+")[0]:
        case "redis" | "rediss":
            return url, {
                "visibility_timeout": 300,
                "unacked_restore_interval": 10,
                "unacked_restore_throttle": 1,
                "socket_timeout": 5,
                "socket_connect_timeout": 3,
                "socket_keepalive": True,
                "health_check_interval": 10,
                "global_keyprefix": PREFIX,
            }
        case "amqp" | "amqps" | "pyamqp":
            return url, {"confirm_publish": True, "connect_timeout": 3, "read_timeout": 5, "write_timeout": 5}
        case "filesystem" | "file":
            import_module("kombu.transport").TRANSPORT_ALIASES[FOLDER_TRANSPORT] = (
                "orionflow.agent.folder_broker:Transport"
            )
            return f"{FOLDER_TRANSPORT}://localhost//", folder_options(Path(urlsplit(url).path))
    raise UsageError(
        f"The broker {shown_url(url)!r} is not understood; use redis://host:6379/0, amqp://user:password@host// or "
        "filesystem:///absolute/folder."
    )


def folder_options(folder: Path) -> dict[str, Any]:
    """Return options for messages as files in `folder`, which only its owner may read: they name the code to run."""
    for path in (folder, folder / "messages", folder / "control"):
        make_private_folder(path)
        os.chmod(path, 0o700)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "store_processed": False,
        "polling_interval": FOLDER_POLL_SECONDS,
    }
