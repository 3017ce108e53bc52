"""Stages of programs: once, the whole server is loaded, or the API inside a program, or an agent.

Of programs with Django, apps, modules, addresses and the schemas of operations are the same in each. Settings are not:
they are read here from an empty environment, and forgotten, with all that was remembered meanwhile, before the first
program begins; each reads its own.
"""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

# The settings of each, and modules that its programs load in any case.
STAGES = {
    "server": (
        "orion_site.settings",
        (
            # Not "daphne.server", which makes the reactor.
            "channels.routing", "daphne.http_protocol", "daphne.ws_protocol",
            "deployments.dispatch.waiting_agents", "django.core.checks.registry",
            "django.core.management.commands.migrate", "django.db.models.sql.compiler", "django.test.client",
            "orion_site.accounts.cli", "orion_site.database.commands", "orion_site.database.lifecycle",
            "orion_site.http.commands", "orion_site.http.connections", "orion_site.http.peers",
            "orion_site.http.running_servers", "orion_site.http.server", "orion_site.http.sockets",
            "orion_site.http.token_file", "orion_site.http.turns", "orion_site.http.wsgi_adapter",
            "orion_site.metrics.event_loop", "orion_site.services.registry", "orion_site.services.ticker",
            "orion_site.urls", "twisted.internet.asyncioreactor",
        ),
    ),
    "embedded": (
        "orion_site.settings_embedded",
        (
            "django.db.models.sql.compiler", "orion_site.bootstrap", "orion_site.database.lifecycle",
            "orion_site.urls_api", "pydantic.dataclasses", "runs.lists.api", "runs.why.api",
        ),
    ),
}  # fmt: skip
# One app more.
STAGES["beat"] = STAGES["server"]


# Programs without Django: agents with what runs need, and those that are connected with a broker, as task workers are.
OF_AGENTS = {
    "agent": (
        "orionflow.agent.naming", "orionflow.agent.supervisor", "orionflow.cli.agent", "orionflow.cli.work_queue",
    ),
    "broker": (
        "celery.app.amqp", "celery.app.control", "celery.concurrency.prefork", "celery.concurrency.thread",
        "celery.worker", "celery.worker.consumer", "celery.worker.strategy", "kombu.transport.filesystem",
        "kombu.transport.redis", "orionflow.agent.broker", "orionflow.agent.hints", "orionflow.cli.task_worker",
        "orionflow.task_calls.worker", "redis",
    ),
}  # fmt: skip


# What these remember follows from modules and installed packages alone.
REMEMBERED = {
    ("django.urls.resolvers", "_get_cached_resolver"),
    ("importlib.metadata", "FastPath.__new__"),
    ("importlib.metadata", "FastPath.lookup"),
    ("orionflow.wire.encoding", "_adapter"),
}


def load(stage: str) -> Callable[[], None]:
    """Load what programs of the stage load, and forget what was read from settings.

    Returned is what each program does before it begins.
    """
    if stage in OF_AGENTS:
        return _load_agent(OF_AGENTS["agent"] + (OF_AGENTS["broker"] if stage == "broker" else ()))
    settings_module, modules = STAGES[stage]
    distribution("orionflow-server")
    environment, home = dict(os.environ), tempfile.mkdtemp(prefix="orion-tests-warm-")
    os.environ.update(ORION_HOME=home, DJANGO_SETTINGS_MODULE=settings_module)
    if stage == "beat":
        os.environ["ORION_BEAT"] = "true"
    try:
        _load(modules)
        _read_addresses()
    finally:
        os.environ.clear()
        os.environ.update(environment)
        shutil.rmtree(home)
    _forget(settings_module)
    _refuse_what_would_be_shared()
    return _renew


def _load_agent(modules: tuple[str, ...]) -> Callable[[], None]:
    for name in modules:
        importlib.import_module(name)
    importlib.import_module("orionflow.agent.child").load_everything()
    # A launcher is started as this module.
    sys.modules.pop("orionflow.agent.zygote", None)
    _refuse_what_would_be_shared()
    return lambda: None


def _renew() -> None:
    """Servers have a token each, which is drawn when its module is loaded."""
    if tokens := sys.modules.get("orion_site.accounts.local_token"):
        importlib.reload(tokens)


def _load(modules: tuple[str, ...]) -> None:
    import django
    from django.conf import settings
    from django.urls import get_resolver
    from django.utils.module_loading import import_string
    from rest_framework.settings import api_settings

    django.setup(set_prefix=False)
    for name in modules:
        importlib.import_module(name)
    for path in settings.MIDDLEWARE:
        import_string(path)
    for kind in ("AUTHENTICATION", "PERMISSION", "THROTTLE", "RENDERER", "PARSER"):
        getattr(api_settings, f"DEFAULT_{kind}_CLASSES")
    _ = get_resolver().url_patterns


def _read_addresses() -> None:
    """Compile the patterns of all addresses, and build the schemas of what is sent to them and of what they answer."""
    from django.urls import get_resolver
    from pydantic import TypeAdapter

    from orchestration.api.operations import Endpoint, arguments_of

    for pattern in _patterns(get_resolver()):
        _ = pattern.pattern.regex
        if isinstance(pattern.callback, Endpoint):
            for operation in pattern.callback.operations:
                arguments_of(operation)
    for one in gc.get_objects():
        if type(one) is TypeAdapter:
            one.rebuild(raise_errors=False)


def _patterns(resolver: Any) -> Iterator[Any]:
    for one in resolver.url_patterns:
        _ = one.pattern.regex
        if hasattr(one, "url_patterns"):
            yield from _patterns(one)
        else:
            yield one


def _forget(settings_module: str) -> None:
    from asgiref.local import Local
    from django.apps import apps
    from django.conf import settings
    from django.core.cache import caches
    from django.db import connections
    from django.template import engines
    from django.utils.functional import empty
    from rest_framework.settings import api_settings

    loaded = list(settings.INSTALLED_APPS)
    for name in (None, *settings.LOGGING.get("loggers", ())):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET if name else logging.WARNING)
        logger.propagate = True
    settings.__dict__.clear()
    settings.__dict__["_wrapped"] = empty
    for name in {"orion_site.settings", settings_module}:
        package, _, child = name.rpartition(".")
        del sys.modules[name]
        delattr(sys.modules[package], child)
    api_settings.reload()
    for handler in (connections, caches):
        handler.__dict__.pop("settings", None)
        handler._settings = None  # type: ignore[attr-defined]
        handler._connections = Local(handler.thread_critical)  # type: ignore[attr-defined]
    engines.__dict__.pop("templates", None)
    for one in gc.get_objects():
        if type(one) is functools._lru_cache_wrapper and (one.__module__, one.__qualname__) not in REMEMBERED:
            one.cache_clear()
    populate = apps.populate

    def populate_alike(installed_apps: Any = None) -> None:
        assert list(installed_apps) == loaded, "this program has other apps: it cannot start from this stage"
        populate(installed_apps)

    apps.populate = populate_alike  # type: ignore[method-assign]


def _refuse_what_would_be_shared() -> None:
    files = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert not [file for file in files if "eventpoll" in file], files
    assert "twisted.internet.reactor" not in sys.modules
    assert threading.active_count() == 1, threading.enumerate()
