"""Settings of the API inside a user's process: the same rules and tables; no admin, pages, sessions or static files."""

from __future__ import annotations

from orion_site.env import with_page_cache
from orion_site.settings import *  # noqa: F403
from orion_site.settings import DATABASES
from orion_site.settings import REST_FRAMEWORK as OF_THE_SERVER

INSTALLED_APPS = ["rest_framework", "runs", "deployments", "events", "orion_site.audit"]
MIDDLEWARE = []
# No replica: a run must read what it has just written. Reports are appended, for which few pages are needed again: a
# larger cache makes no flow faster, and is memory of the user's program.
DATABASES = {"default": with_page_cache(DATABASES["default"], kilobytes=8_000)}
DATABASE_ROUTERS = []
ROOT_URLCONF = "orion_site.urls_api"
TEMPLATES = []
# No browsable pages, because they need templates.
REST_FRAMEWORK = {
    **OF_THE_SERVER,
    "DEFAULT_AUTHENTICATION_CLASSES": ["orion_site.accounts.authentication.ProcessOwnerAuthentication"],
    "DEFAULT_THROTTLE_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["orchestration.api.rendering.JSONRenderer"],
}
# The logging belongs to the user's process.
LOGGING_CONFIG = None
# No other process needs notifications about this database.
ORION_STATE_LISTENERS = []
ORION_BROKER_URL = ""
# There are no connections: all requests come from this program.
ORION_LOCAL_OWNER = "user"
# The host of requests within the process, which addresses in answers contain.
ALLOWED_HOSTS = ["ephemeral.orion"]
