"""The API and a browser on this machine; programs and people who ask from others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from orion_site.accounts.users import create_user
from tests.api.conftest import api
from tests.security.askers import PASSWORD, Asker, key_of, user_with
from tests.security.attempts import Attempt
from tests.security.worlds import World, make_world
from tests.web.conftest import browser

__all__ = ["ada", "api", "asker", "browser"]


@pytest.fixture
def ada(db: None) -> User:
    """The first admin, by whom the server is open to other machines."""
    return create_user(name="ada", password=PASSWORD, roles=["admin"])


@pytest.fixture
def asker(ada: User) -> Callable[[str | None], Asker]:
    """`asker("viewer")`: a program on another machine with a key of that role; None: without any credentials."""
    return lambda role: Asker(key_of(user_with(role)) if role else None)


@pytest.fixture
def attempt(ada: User) -> Attempt:
    return Attempt()


@pytest.fixture
def other(attempt: Attempt) -> World:
    """A deployment to which the attempt has no rights."""
    return make_world("birch")
