"""Settings of the full server. `settings_embedded` removes most of them for use inside a user's process."""

from __future__ import annotations

from pathlib import Path

from orion_site.accounts.secret_key import secret_key
from orion_site.env import (
    channel_layers,
    database_from_url,
    database_url,
    env_bool,
    env_choice,
    env_float,
    env_int,
    env_list,
    env_mapping,
    env_networks,
    env_str,
    external_url,
    host_of,
    orion_home,
    path_of,
    replica_from_url,
    result_folders,
    traces_link,
    trusted_origins,
)
from orion_site.private_home import home_owners, refuse_home_of_others

SITE = Path(__file__).resolve().parent
BASE_DIR = SITE / "_data" if (SITE / "_data").is_dir() else SITE.parent

# Other Unix users whose files in the home are trusted. First, because keys and the database are read from there.
ORION_HOME_OWNERS = home_owners()
refuse_home_of_others(orion_home())

DEBUG = env_bool("ORION_DEBUG", False)
SECRET_KEY = secret_key()

# The address at which users and programs reach the server; links and cookies use its host, scheme and path.
ORION_EXTERNAL_URL = external_url()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env_list("ORION_ALLOWED_HOSTS"), *host_of(ORION_EXTERNAL_URL)]
# Proxies whose headers about the client's address and scheme are believed.
ORION_TRUSTED_PROXIES = env_networks("ORION_TRUSTED_PROXIES")

INSTALLED_APPS = [
    "orion_site.apps.OrionAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "channels",
    "drf_spectacular_sidecar",
    "orion_site.accounts",
    "orion_site.operators",
    "runs",
    "deployments",
    "events",
    "orion_site.audit",
]

# Whether Celery beat runs the services. Only then are its tables needed; loading them loads Celery.
if ORION_BEAT := env_bool("ORION_BEAT", False):
    INSTALLED_APPS.append("django_celery_beat")

MIDDLEWARE = [
    "orion_site.http.middleware.SecurityHeadersMiddleware",
    "orion_site.accounts.guard.GuardMiddleware",
    "orion_site.http.middleware.NulMiddleware",
    "orion_site.http.middleware.CompressionMiddleware",
    "orion_site.http.static_files.StaticFilesMiddleware",
    "orion_site.accounts.refused.RefusedButtonsMiddleware",
    "orion_site.http.middleware.MaskingMiddleware",
    "orion_site.preferences.middleware.PreferencesMiddleware",
    "orion_site.database.replica.ReadYourWritesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "orion_site.accounts.sign_in.SignInMiddleware",
    "orion_site.http.middleware.PageMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "orion_site.audit.entrances.AuditMiddleware",
    "orion_site.http.middleware.DatabaseAwayMiddleware",
]
# Redirecting a POST to its path with a slash would turn it into a GET.
APPEND_SLASH = False

ROOT_URLCONF = "orion_site.urls"
WSGI_APPLICATION = "orion_site.wsgi.application"
ASGI_APPLICATION = "orion_site.asgi.application"
# How consumers of websockets exchange messages: within this process, or through Redis if several servers share runs.
ORION_CHANNEL_LAYER = env_str("ORION_CHANNEL_LAYER", "memory")
CHANNEL_LAYERS = channel_layers(ORION_CHANNEL_LAYER)
FORCE_SCRIPT_NAME = env_str("ORION_BASE_PATH") or path_of(ORION_EXTERNAL_URL) or None

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "libraries": {
                "audit": "orion_site.audit.tags",
                "forms": "orion_site.forms.tags",
                "live": "orion_site.live.tags",
                "operators": "orion_site.operators.tags",
            },
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orion_site.preferences.middleware.preferences",
                "orion_site.accounts.sign_in.signed_in",
                "orion_site.database.replica.read_of",
            ],
        },
    }
]

DATABASES = {"default": database_from_url(database_url())}
# Lists, charts and exports may be read from a replica; they then show how recent their data is.
DATABASE_ROUTERS: list[str] = []
if replica_url := env_str("ORION_DATABASE_REPLICA_URL"):
    DATABASES["replica"] = replica_from_url(replica_url)
    DATABASE_ROUTERS.append("orion_site.database.replica.ReplicaRouter")
ORION_DATABASE_REPLICA_MAX_LAG_SECONDS = env_float("ORION_DATABASE_REPLICA_MAX_LAG_SECONDS", 30, minimum=1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
# Dates in the admin; pages format their own.
FORMAT_MODULE_PATH = "orion_site.formats"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static", ("help", BASE_DIR / "docs" / "images")]
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "orion_site.http.static_files.MarkedStorage"},
}
# Only Orion's own pages use its styles and scripts.
WHITENOISE_ALLOW_ALL_ORIGINS = False

DATA_UPLOAD_MAX_MEMORY_SIZE = env_int("ORION_API_MAX_BODY_BYTES", 10 * 1024 * 1024, minimum=1024)

# Classes for authentication, permissions, rate limits and pages of lists; an operation may have its own
# (`authentication_classes`, `permission_classes`, `throttle_classes`, `pagination_class`).
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orion_site.accounts.authentication.LocalTokenAuthentication",
        "orion_site.accounts.authentication.KeyAuthentication",
        "orion_site.accounts.authentication.SessionAuthentication",
        "orion_site.accounts.authentication.LocalOwnerAuthentication",
        "orion_site.accounts.authentication.OwnersBrowserAuthentication",
    ],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PERMISSION_CLASSES": ["orion_site.accounts.permissions.DenyUndeclared"],
    "DEFAULT_THROTTLE_CLASSES": ["orion_site.accounts.throttling.TokenBucketThrottle"],
    "DEFAULT_PAGINATION_CLASS": "orchestration.api.pagination.PageOfBody",
    "EXCEPTION_HANDLER": "orchestration.api.errors.answer_error",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orchestration.api.rendering.BrowserNegotiation",
    "DEFAULT_PARSER_CLASSES": ["orchestration.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "orchestration.api.rendering.JSONRenderer",
        "orchestration.api.rendering.BrowsableRenderer",
    ],
}

AUTHENTICATION_BACKENDS = ["orion_site.accounts.backend.RolesBackend"]
# The only memory-hard hash that needs no other package; each sign-in needs 16 MB.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
# Single sign-on by an OpenID Connect provider; it needs the extra `[sso]`.
ORION_OIDC_ISSUER = env_str("ORION_OIDC_ISSUER").rstrip("/")
ORION_OIDC_CLIENT_ID = env_str("ORION_OIDC_CLIENT_ID")
ORION_OIDC_CLIENT_SECRET = env_str("ORION_OIDC_CLIENT_SECRET")
ORION_OIDC_NAME = env_str("ORION_OIDC_NAME") or "your organisation"
ORION_OIDC_SCOPE = env_str("ORION_OIDC_SCOPE") or "openid profile"
ORION_OIDC_GROUPS_CLAIM = env_str("ORION_OIDC_GROUPS_CLAIM")
ORION_OIDC_GROUPS = env_mapping("ORION_OIDC_GROUPS")
LOGIN_URL = LOGOUT_REDIRECT_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"

# For `check --deploy`: Orion's middleware sets these headers, and marks cookies by the scheme of the request.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W012", "security.W016"]
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "orion_session", "orion_csrf"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
# Behind TLS, the origin of a form is https://, while the proxy uses plain HTTP. The guard has compared the hosts.
SESSION_COOKIE_SECURE = ORION_EXTERNAL_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = trusted_origins(ORION_EXTERNAL_URL, env_list("ORION_ALLOWED_HOSTS"))
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

# "text" is for people; "json" writes one object per line for programs, with the id of the request.
ORION_LOG_FORMAT = env_choice("ORION_LOG_FORMAT", ("text", "json"), "text")
if ORION_LOG_FORMAT == "json":
    MIDDLEWARE.insert(0, "orion_site.http.request_ids.RequestIdMiddleware")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "orion_site.log_lines.LineFormatter"
            if ORION_LOG_FORMAT == "text"
            else "orionflow.json_lines.JsonFormatter"
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("ORION_SERVER_LOG_LEVEL", "WARNING").upper()},
    "loggers": {
        "django": {"handlers": ["stderr"], "propagate": False},
        # Otherwise each refused request would be logged as a warning; only errors of the server are.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "ERROR"},
        "django.security.csrf": {"level": "ERROR"},
        # Otherwise each attempt to connect would be logged; outages of the database are logged once.
        "psycopg.pool": {"level": "CRITICAL"},
    },
}

# --- settings that Orion itself reads --------------------------------------------------------------------------------
# How programs of the owner on this machine are recognised; by default by their Unix user, or by token where the kernel
# does not tell the user.
ORION_LOCAL_OWNER = env_choice("ORION_LOCAL_OWNER", ("user", "token", "anyone"))
# Processes that answer requests (`orion server start --workers`).
ORION_SERVER_WORKERS = env_int("ORION_SERVER_WORKERS", 1, minimum=1)
# Threads of each pool. SQLite has one writer and Python one interpreter lock, so more threads only take turns.
ORION_SERVER_THREADS = env_int("ORION_SERVER_THREADS", 4, minimum=1)
ORION_SERVER_MAX_IN_FLIGHT = env_int("ORION_SERVER_MAX_IN_FLIGHT", 64, minimum=1)
ORION_SERVER_MAX_SOCKETS = env_int("ORION_SERVER_MAX_SOCKETS", 100, minimum=0)
# Pages have a limit of their own, so that they take no websockets from programs.
ORION_SERVER_MAX_PAGES = env_int("ORION_SERVER_MAX_PAGES", 200, minimum=0)
# The largest JSON value of a request (parameters, a context, data of a state), the largest content of an artifact, the
# most values in a body, and the largest value that lists return.
ORION_API_MAX_FIELD_BYTES = env_int("ORION_API_MAX_FIELD_BYTES", 1024 * 1024, minimum=1024)
ORION_API_MAX_ARTIFACT_BYTES = env_int("ORION_API_MAX_ARTIFACT_BYTES", 8 * 1024 * 1024, minimum=1024)
ORION_API_MAX_JSON_NODES = env_int("ORION_API_MAX_JSON_NODES", 500_000, minimum=1000)
ORION_API_LIST_FIELD_BYTES = env_int("ORION_API_LIST_FIELD_BYTES", 32 * 1024, minimum=256)
# Requests of one key or session per second in the long run, and at once; 0 for no limit.
ORION_API_REQUESTS_PER_SECOND = env_float("ORION_API_REQUESTS_PER_SECOND", 100, minimum=0)
ORION_API_BURST = env_int("ORION_API_BURST", 1000, minimum=10)
ORION_API_DEFAULT_LIMIT = env_int("ORION_API_DEFAULT_LIMIT", 200, minimum=1)
ORION_TAG_SLOT_WAIT_SECONDS = env_int("ORION_TAG_SLOT_WAIT_SECONDS", 30, minimum=1)
# Keys that encrypt the secrets of blocks: the first one encrypts, all of them decrypt. Without any, the key file is
# used.
ORION_ENCRYPTION_KEYS = env_list("ORION_ENCRYPTION_KEYS")
ORION_ENCRYPTION_KEY_FILE = orion_home() / "encryption-key"
# Pages of runs show the sizes of files in these folders.
ORION_RESULTS_FOLDERS = result_folders()
# Dotted paths of functions that are called after the commit of each changed run: f(kind, run_id, state_type).
ORION_STATE_LISTENERS: list[str] = [
    "deployments.dispatch.services.hints.run_changed",
    "orion_site.live.changes.run_changed",
    "orion_site.metrics.transitions.run_changed",
]
# The broker that notifies agents of due runs; without one they poll.
ORION_BROKER_URL = env_str("ORION_BROKER_URL")
ORION_BROKER_TRANSPORT = "orionflow.agent.broker.transport_of"
# Leases of agents on runs: how long one lasts, how often it is extended, and how long after its end the run is revoked.
ORION_LEASE_SECONDS = env_float("ORION_LEASE_SECONDS", 120, minimum=1)
ORION_HEARTBEAT_SECONDS = env_float("ORION_HEARTBEAT_SECONDS", 15, minimum=0.1)
ORION_LEASE_GRACE_SECONDS = env_float("ORION_LEASE_GRACE_SECONDS", 10, minimum=0)
ORION_CRASH_GRACE_SECONDS = env_float("ORION_CRASH_GRACE_SECONDS", 60, minimum=0)
ORION_RECONCILE_SECONDS = env_float("ORION_RECONCILE_SECONDS", 5, minimum=0.1)
ORION_AGENT_POLL_SECONDS = env_float("ORION_AGENT_POLL_SECONDS", 10, minimum=0.1)
# This many attempts may be lost before their first report; after one more, a run counts as one that kills its agents.
ORION_LOST_STARTS = env_int("ORION_LOST_STARTS", 3, minimum=0)
ORION_LATE_AFTER_SECONDS = env_int("ORION_LATE_AFTER_SECONDS", 15, minimum=0)
# Older rows are deleted; 0 keeps them forever. The age of runs counts from their end.
ORION_RETENTION_DAYS_RUNS = env_int("ORION_RETENTION_DAYS_RUNS", 90, minimum=0)
ORION_RETENTION_DAYS_LOGS = env_int("ORION_RETENTION_DAYS_LOGS", 30, minimum=0)
ORION_RETENTION_DAYS_EVENTS = env_int("ORION_RETENTION_DAYS_EVENTS", 14, minimum=0)
ORION_RETENTION_DAYS_AUDIT = env_int("ORION_RETENTION_DAYS_AUDIT", 0, minimum=0)
# Runs that ended this many days ago are moved to Parquet files at this path: a folder, or an address for fsspec.
ORION_ARCHIVE_PATH = env_str("ORION_ARCHIVE_PATH")
ORION_ARCHIVE_AFTER_DAYS = env_int("ORION_ARCHIVE_AFTER_DAYS", 14, minimum=1)
# The address of traces, to which pages of runs link.
ORION_TRACES_LINK = traces_link()
# Hosts or networks that notifications may reach although they are not public (`chat.example.org, 10.0.0.0/8,
# 127.0.0.1`). Links in notifications start with ORION_EXTERNAL_URL.
ORION_WEBHOOK_ALLOW = env_list("ORION_WEBHOOK_ALLOW")
