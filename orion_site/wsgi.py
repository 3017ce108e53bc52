"""Django's WSGI application, for Orion's own server and for other WSGI servers."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")

application = get_wsgi_application()
