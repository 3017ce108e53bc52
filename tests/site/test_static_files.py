"""The files of pages are found when the first of them is asked for, as most servers of an API are asked for none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests import warm
from tests.homes import ready_home
from tests.site.running import environment

ASKED = """
import json, sys, django
django.setup()
from django.conf import settings
from django.test import Client
listed, folder = [], str(settings.BASE_DIR / "static")
sys.addaudithook(lambda event, words: listed.append(words[0]) if event == "os.scandir" else None)

def asked(*paths):
    answers = [browser.get(path) for path in paths]
    [answer.close() for answer in answers]
    return [[answer.status_code for answer in answers], sum(str(place).startswith(folder) for place in listed)]

browser = Client(HTTP_HOST="127.0.0.1")
style = "/static/css/orion.css"
print(json.dumps([asked("/api/health", "/api/static/no.css"), asked(style), asked(style)]))
"""


def test_no_file_is_looked_for_before_one_is_asked_for(tmp_path: Path):
    env = environment(ready_home(tmp_path), DJANGO_SETTINGS_MODULE="orion_site.settings", ORION_LOCAL_OWNER="anyone")

    done = warm.run([sys.executable, "-c", ASKED], env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    others, first, again = json.loads(done.stdout)
    assert others == [[200, 404], 0]
    assert first[0] == [200]
    assert first[1] > 0
    assert again == first
