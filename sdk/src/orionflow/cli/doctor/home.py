"""The parts of an installation that are files: packages, settings, the home and its content."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from orionflow.cli.doctor import Finding, size
from orionflow.cli.version import client_version, server_package_version

LITTLE_SPACE = 1_000_000_000
NO_SPACE = 100_000_000


def versions() -> Iterator[Finding]:
    client, server = client_version(), server_package_version()
    text = f"orionflow {client}, orionflow-server {server or 'not installed'}, Python {platform.python_version()}"
    if server and server != client:
        yield Finding(
            "versions", "problem", f"{text}: the two must be the same", f"pip install orionflow-server=={client}"
        )
    else:
        yield Finding("versions", "ok", text)


def settings() -> Iterator[Finding]:
    from orionflow.errors import SettingsError
    from orionflow.settings import current_settings

    try:
        found = current_settings()
    except SettingsError as error:
        yield Finding("settings", "problem", str(error), "orion config view --show-origin")
        return
    yield from _misspelt()
    changed = [name for name, origin in found.origins.items() if origin != "default" and name != "profile"]
    yield Finding("settings", "ok", f"profile {found.profile}; changed: {', '.join(changed) or 'nothing'}")


def _misspelt() -> Iterator[Finding]:
    from orionflow.settings import PREFIX, environment_name, settings_table
    from orionflow.settings.misspelt import misspelt_variables, unknown_settings
    from orionflow.settings.profiles import project_layer

    names = [one.name for one in settings_table()]
    ours = [variable for variable in os.environ if variable.startswith(PREFIX)]
    for found, meant in [
        *misspelt_variables(ours, map(environment_name, names)),
        *unknown_settings(project_layer(os.getcwd()), names),
    ]:
        yield Finding("settings", "warning", found, meant)


# Files in a folder of results that are examined at most, as the check must be quick.
MOST_LOOKED_AT = 2_000


def home() -> Iterator[Finding]:
    folder = _home()
    if not folder.exists():
        yield Finding("home", "ok", f"{folder} will be made by the first run")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "home", "problem", f"{folder} cannot be written", f"chown or chmod u+rwx {folder}, or set ORION_HOME"
        )
        return
    yield from _permissions(folder)


def _permissions(folder: Path) -> Iterator[Finding]:
    # Users with write access here decide which code runs; users who can read profiles.toml have the API keys.
    open_paths = [path for path in (folder,) if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    profiles = folder / "profiles.toml"
    if profiles.exists() and profiles.stat().st_mode & 0o077:
        open_paths.append(profiles)
    if not open_paths:
        yield Finding("home", "ok", f"{folder} is yours alone to write")
    for path in open_paths:
        yield Finding("home", "warning", f"{path} is open to other users", f"chmod go-rwx {path}")


def results() -> Iterator[Finding]:
    from orionflow.results import LocalFileSystem
    from orionflow.results.resealing import unsealed_in
    from orionflow.results.sealing import KEY_FILE

    store, key = LocalFileSystem(), _home() / KEY_FILE
    if key.exists() and key.stat().st_mode & 0o077:
        yield Finding("results", "problem", f"{key} is open to other users, who could seal results", f"chmod 600 {key}")
    if found := sum(1 for _ in unsealed_in(store, looked_at=MOST_LOOKED_AT)):
        text = f"{found} pickles in {store.basepath} have no seal, so no run reads them"
        yield Finding("results", "warning", text, "orion result seal, if only your own programs wrote there")
    else:
        yield Finding("results", "ok", f"no pickle without a seal is in {store.basepath}")


def disk() -> Iterator[Finding]:
    place = _home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{size(free)} free at {place}"
    verdict = "problem" if free < NO_SPACE else "warning" if free < LITTLE_SPACE else "ok"
    yield Finding("disk", verdict, text, "" if verdict == "ok" else "make room, or move ORION_HOME")  # type: ignore[arg-type]


def spool() -> Iterator[Finding]:
    """Report unsent reports of processes that ended while the API was away; the next run sends them."""
    left = sorted((_home() / "spool").glob("*.jsonl*"))
    if not left:
        yield Finding("spool", "ok", "no unsent reports")
        return
    total = size(sum(path.stat().st_size for path in left))
    yield Finding(
        "spool",
        "warning",
        f"{len(left)} files of unsent reports ({total})",
        "they are sent by the next run that reaches the API",
    )


def _home() -> Path:
    from orionflow.settings import current_settings

    return current_settings().home
