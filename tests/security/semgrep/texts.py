from __future__ import annotations

import pickle
import re

import yaml
from django.db import connection


def found(request, order):
    with connection.cursor() as cursor:
        # ruleid: sql-of-a-request
        cursor.execute(f"SELECT * FROM runs ORDER BY {request.GET['order']}")
        # ok: sql-of-a-request
        cursor.execute("SELECT * FROM runs WHERE name = %s", [request.GET["name"]])


def named(sought):
    with connection.cursor() as cursor:
        # ruleid: sql-of-a-request
        cursor.execute("SELECT * FROM runs WHERE name = '" + sought + "'")


def matching(request, line):
    # ruleid: expression-of-a-request
    re.search(request.GET["pattern"], line)
    # ok: expression-of-a-request
    re.search(re.escape(request.GET["pattern"]), line)
    # ok: expression-of-a-request
    return re.fullmatch(r"[a-z]+", request.GET["name"])


def loaded(stored):
    # ruleid: objects-from-bytes
    pickle.loads(stored)
    # ruleid: objects-from-bytes
    yaml.load(stored, Loader=yaml.Loader)
    # ok: objects-from-bytes
    return yaml.safe_load(stored)
