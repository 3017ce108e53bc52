"""Static files under addresses that change with their content, so that browsers keep them and ask for none of them.

All of them share one mark: styles and scripts name each other by relative addresses, which then change together.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

# Whose files are served besides our own; theirs change with their versions.
PACKAGES = ("django", "djangorestframework", "drf-spectacular-sidecar")
COMPRESSED = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml"})
FOR_EVER = "max-age=31536000, public, immutable"
# The files that were found, by the prefix of their addresses: to look for them takes longer than to answer a request.
_found: dict[str, dict[str, Any]] = {}


@cache
def mark() -> str:
    """A hash of our own files and of the versions of the others: all servers of one release have one mark."""
    found = sha256()
    for folder in (settings.BASE_DIR / "static", settings.BASE_DIR / "docs" / "images"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for package in PACKAGES:
        try:
            found.update(version(package).encode())
        except PackageNotFoundError:
            continue
    return f"v-{found.hexdigest()[:12]}"


class MarkedStorage(StaticFilesStorage):
    """Addresses with the mark: `static/v-0123456789ab/css/orion.css`."""

    def url(self, name: str | None) -> str:
        return super().url(name if settings.DEBUG else f"{mark()}/{name}")


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serves each file with the mark and without it; what carries the mark of this release never changes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._packed: dict[str, bytes] = {}

    def add_files_from_finders(self) -> None:
        """Look once in a process: each of its handlers of requests has a middleware of its own."""
        if self.static_prefix not in _found:
            super().add_files_from_finders()
            _found[self.static_prefix] = dict(self.files)
        self.files.update(_found[self.static_prefix])

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path, prefix = request.path_info, self.static_prefix
        if not path.startswith(f"{prefix}v-"):
            answer: HttpResponseBase = super().__call__(request)
            return answer
        marked, _, name = path.removeprefix(prefix).partition("/")
        file = self.find_file(prefix + name) if self.autorefresh else self.files.get(prefix + name)
        if file is None:
            missing: HttpResponseBase = self.get_response(request)
            return missing
        served: HttpResponseBase = self.serve(file, request)
        if marked != mark():
            return served
        served.headers["Cache-Control"] = FOR_EVER
        return self._compressed(request, name, served)

    def _compressed(self, request: HttpRequest, name: str, served: HttpResponseBase) -> HttpResponseBase:
        """Compress a text once and keep it: there are few of them, and they do not change."""
        kind = served.headers.get("Content-Type", "").partition(";")[0]
        if kind not in COMPRESSED or served.status_code != HTTPStatus.OK:
            return served
        served.headers["Vary"] = "Accept-Encoding"
        if request.method != "GET" or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return served
        if name not in self._packed:
            self._packed[name] = gzip.compress(b"".join(served), mtime=0)
        served.close()
        headers = {key: value for key, value in served.headers.items() if key not in {"Content-Length", "ETag"}}
        return HttpResponse(self._packed[name], headers={**headers, "Content-Encoding": "gzip"})
