from __future__ import annotations

import hmac
import logging

logger = logging.getLogger("orion")


def is_right(given, token, row):
    # ruleid: proof-compared-by-equality
    if given == token:
        return True
    # ruleid: proof-compared-by-equality
    if row.password != given:
        return False
    # ok: proof-compared-by-equality
    if token == "" or row.kind == "secret":
        return False
    # ok: proof-compared-by-equality
    return hmac.compare_digest(given, token)


def notified(token, user):
    # ruleid: proof-in-a-log-line
    logger.info("%s came with %s", user, token)
    # ok: proof-in-a-log-line
    logger.info("%s came", user)
