"""All secrets move to a new key while they are read and written; an interrupted rotation continues."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.utils import timezone

from deployments.blocks.core.blocks import checksum_of
from deployments.blocks.services import sealing
from deployments.blocks.services.blocks import (
    NewBlockDocument,
    create_block_document,
    opened,
    update_block_document,
)
from deployments.blocks.services.encryption import KeysOfEnvironment, add_key
from deployments.blocks.services.sealing import StillInUse, look_at_seals, retire, rotate
from deployments.models import BlockDocument, BlockSchema, BlockType

FIELDS = {"title": "Login", "type": "object", "properties": {"password": {"format": "password"}}}


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> Path:
    settings.ORION_ENCRYPTION_KEYS = []
    settings.ORION_ENCRYPTION_KEY_FILE = tmp_path / "encryption-key"
    return tmp_path / "encryption-key"


def make_secrets(count: int) -> list[UUID]:
    now = timezone.now()
    kind = BlockType.objects.create(slug="login", name="Login", created=now)
    checksum = checksum_of(FIELDS)
    schema = BlockSchema.objects.create(block_type=kind, fields=FIELDS, checksum=checksum, created=now)
    return [
        create_block_document(
            new=NewBlockDocument(
                name=f"login-{number}",
                content={"password": f"value of {number}"},
                block_type_id=kind.pk,
                block_schema_id=schema.pk,
            ),
            now=now,
        ).pk
        for number in range(count)
    ]


def password_of(pk: UUID) -> str:
    return str(opened(BlockDocument.objects.get(pk=pk))["password"])


@pytest.mark.django_db
def test_everything_is_sealed_with_a_new_key(keys: Path):
    secrets = make_secrets(3)
    before = keys.read_text().split()

    found = rotate()

    after = keys.read_text().split()
    assert (len(found.older), after[1:], after[0] not in before) == (3, before, True)
    assert look_at_seals().current == 3
    assert [password_of(one) for one in secrets] == ["value of 0", "value of 1", "value of 2"]
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


@pytest.mark.django_db
def test_an_interrupted_rotation_continues_with_the_key_that_was_created(keys: Path, monkeypatch: pytest.MonkeyPatch):
    secrets = make_secrets(4)
    done: list[UUID] = []
    reseal_one = sealing._reseal

    def cut_off(pk: UUID) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(pk)
        reseal_one(pk)

    monkeypatch.setattr(sealing, "_reseal", cut_off)
    with pytest.raises(KeyboardInterrupt):
        rotate()
    monkeypatch.undo()
    halfway = keys.read_text()
    assert [password_of(one) for one in secrets] == [f"value of {number}" for number in range(4)]

    found = rotate()

    assert (len(found.older), keys.read_text()) == (2, halfway)
    assert look_at_seals().current == 4


@pytest.mark.django_db
def test_older_keys_go_once_nothing_needs_them(keys: Path):
    secrets = make_secrets(1)
    rotate()

    with pytest.raises(StillInUse, match="try again in"):
        retire()
    age(keys)

    assert retire() == 1
    assert len(keys.read_text().split()) == 1
    assert password_of(secrets[0]) == "value of 0"
    assert retire() == 0


@pytest.mark.django_db
def test_a_secret_that_no_key_opens_keeps_all_keys(keys: Path):
    make_secrets(1)
    rotate()
    age(keys)
    BlockDocument.objects.update(sealed=Fernet(Fernet.generate_key()).encrypt(b"{}").decode())

    with pytest.raises(StillInUse, match="1 secrets are opened by no key"):
        retire()

    assert len(keys.read_text().split()) == 2


@pytest.mark.django_db
def test_keys_of_the_environment_are_not_ours_to_change(keys: Path, settings: Any):
    settings.ORION_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    make_secrets(1)

    with pytest.raises(KeysOfEnvironment):
        rotate()

    assert not keys.exists()


def test_keys_created_at_once_are_all_kept(keys: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: add_key(), range(24)))

    made = keys.read_text().split()
    assert len(made) == len(set(made)) == 25
    assert [one.name for one in keys.parent.iterdir() if one.name.startswith("encryption-key.")] == [
        "encryption-key.lock"
    ]


@pytest.mark.django_db(transaction=True)
def test_readers_and_writers_continue(keys: Path):
    secrets = make_secrets(40)
    over, counts = Event(), {"read": 0, "written": 0}

    def until_over(what: str, work: Callable[[int], None]) -> None:
        try:
            while not over.is_set():
                work(counts[what])
                counts[what] += 1
        finally:
            connection.close()

    def read(number: int) -> None:
        assert password_of(secrets[number % 40]).startswith("value of ")

    def write(number: int) -> None:
        content = {"password": f"value of {number}, changed"}
        update_block_document(
            document_id=secrets[number % 40], content=content, merge=True, block_schema_id=None, now=timezone.now()
        )

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(until_over, "read", read), pool.submit(until_over, "written", write)]
        try:
            for _ in range(3):
                before = dict(counts)
                rotate()
                wait_for(lambda before=before: all(counts[what] > before[what] for what in counts))
        finally:
            over.set()
        for one in working:
            one.result()
    rotate() if look_at_seals().older else None
    age(keys)

    assert retire() == 3
    assert look_at_seals() == sealing.Seals(40, (), ())
    assert all(password_of(one).startswith("value of ") for one in secrets)


def wait_for(has_come: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not has_come():
        assert time.monotonic() < until
        time.sleep(0.01)


def age(keys: Path) -> None:
    """Let the present key be an hour old."""
    then = time.time() - 3600
    os.utime(keys, (then, then))
