"""Static files under addresses that change with their content, so that browsers may cache them forever.

All files share one mark: styles and scripts refer to each other by relative addresses, which change with it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

# Packages whose files are served besides Orion's; their files change with the version.
PACKAGES = ("django", "djangorestframework", "drf-spectacular-sidecar")
COMPRESSED = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml"})
FOR_EVER = "max-age=31536000, public, immutable"
# The files by the prefix of their addresses: finding them takes longer than answering a request.
_found: dict[str, dict[str, Any]] = {}
_finding = Lock()


@cache
def mark() -> str:
    """Return a hash of Orion's files and of the packages' versions, equal for all servers of a release."""
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
    """Storage whose addresses contain the mark: `static/v-0123456789ab/css/orion.css`."""

    def url(self, name: str | None) -> str:
        return super().url(name if settings.DEBUG else f"{mark()}/{name}")


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serves each file with and without the mark; with the mark of this release it may be cached forever."""

    files: dict[str, Any]

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._packed: dict[str, bytes] = {}

    def add_files_from_finders(self) -> None:
        """Do nothing yet: many servers of an API are never asked for a file, and this would delay their start."""

    def _find_files(self) -> None:
        """Find the files once per process, because each request handler has its own middleware."""
        with _finding:
            if self.static_prefix not in _found:
                super().add_files_from_finders()
                _found[self.static_prefix] = self.files
            self.files = _found[self.static_prefix]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path, prefix = request.path_info, self.static_prefix
        if not path.startswith(prefix):
            other: HttpResponseBase = self.get_response(request)
            return other
        if not self.autorefresh and self.files is not _found.get(prefix):
            self._find_files()
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
        """Compress a text file once and cache the result: there are few such files, and they do not change."""
        kind = served.headers.get("Content-Type", "").partition(";")[0]
        if kind not in COMPRESSED or served.status_code != HTTPStatus.OK:
            return served
        served.headers["Vary"] = "Accept-Encoding"
        if request.method != "GET" or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return served
        if name not in self._packed:
            # There are no more of these than files, as only names of files arrive here.
            self._packed[name] = gzip.compress(b"".join(served), mtime=0)
        served.close()
        headers = {key: value for key, value in served.headers.items() if key not in {"Content-Length", "ETag"}}
        return HttpResponse(self._packed[name], headers={**headers, "Content-Encoding": "gzip"})
