"""Settings of the API inside a user's process: the same rules and tables; no admin, pages, sessions or static files."""

from __future__ import annotations

from orion_site.settings import *  # noqa: F403
from orion_site.settings import DATABASES
from orion_site.settings import REST_FRAMEWORK as OF_THE_SERVER

INSTALLED_APPS = ["rest_framework", "runs", "deployments", "events", "orion_site.audit"]
MIDDLEWARE = []
# A run reads what it has just written.
DATABASES = {"default": DATABASES["default"]}
DATABASE_ROUTERS = []
ROOT_URLCONF = "orion_site.urls_api"
TEMPLATES = []
# No browsable pages: they need templates.
REST_FRAMEWORK = {
    **OF_THE_SERVER,
    "DEFAULT_AUTHENTICATION_CLASSES": ["orion_site.accounts.authentication.ProcessOwnerAuthentication"],
    "DEFAULT_THROTTLE_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["orchestration.api.rendering.JSONRenderer"],
}
# The user's process has its own logging.
LOGGING_CONFIG = None
# Nobody else sees this database: there is nobody to tell.
ORION_STATE_LISTENERS = []
ORION_BROKER_URL = ""
# Nobody connects to it: who asks is always this program.
ORION_LOCAL_OWNER = "user"
# The name under which this process asks itself; answers with addresses in them repeat it.
ALLOWED_HOSTS = ["ephemeral.orion"]
