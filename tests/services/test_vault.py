"""The file of the encryption key: the first process creates it, and a damaged one is reported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ImproperlyConfigured

from deployments.blocks.services.encryption import Unopenable, open_sealed, seal


@pytest.fixture(autouse=True)
def key_file(settings, tmp_path):
    settings.ORION_ENCRYPTION_KEYS = []
    settings.ORION_ENCRYPTION_KEY_FILE = tmp_path / "encryption-key"
    return settings.ORION_ENCRYPTION_KEY_FILE


def test_sealed_values_can_be_opened():
    content = {"password": "pässwörd", "n": [1, 2.5, None, True]}

    assert open_sealed(seal(content)) == content


def test_of_concurrent_first_writers_one_creates_the_key(key_file):
    with ThreadPoolExecutor(8) as pool:
        seals = list(pool.map(lambda n: seal({"n": n}), range(8)))

    assert [open_sealed(one)["n"] for one in seals] == list(range(8))
    assert list(key_file.parent.iterdir()) == [key_file]


def test_without_its_key_nothing_opens(key_file):
    sealed = seal({"a": 1})
    key_file.unlink()

    with pytest.raises(Unopenable):
        open_sealed(sealed)


def test_a_broken_key_is_reported_by_its_place(key_file):
    key_file.write_text("not a key\n")

    with pytest.raises(ImproperlyConfigured, match=str(key_file)):
        seal({"a": 1})
