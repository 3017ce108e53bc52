"""Settings of the SDK: which value wins, where it came from, and what is said when it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from orionflow.cli.doctor.home import settings as examined
from orionflow.errors import SettingsError
from orionflow.reporting.spool import leftovers
from orionflow.settings import current_settings, override_settings, settings_page, settings_table
from orionflow.settings.profiles import Profiles, project_layer, read_profiles


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder.parent


def save_profile(home: Path, /, **values: object) -> None:
    Profiles(home / "profiles.toml", active="mine", profiles={"mine": values}).save()


def test_defaults_apply_without_settings(home: Path, project: Path):
    settings = current_settings()

    assert settings.api_url is None
    assert settings.reporting_batch_size == 500
    assert settings.origin("reporting_batch_size") == "default"


def test_a_profile_beats_the_default(home: Path, project: Path):
    save_profile(home, api_url="http://profile/api")

    settings = current_settings()

    assert settings.api_url == "http://profile/api"
    assert settings.profile == "mine"
    assert settings.origin("api_url") == f"profile mine in {home / 'profiles.toml'}"


def test_the_project_beats_the_profile(home: Path, project: Path):
    save_profile(home, api_url="http://profile/api")
    (project / "orion.toml").write_text('[api]\nurl = "http://project/api"\n')

    settings = current_settings()

    assert settings.api_url == "http://project/api"
    assert settings.origin("api_url") == str(project / "orion.toml")


def test_pyproject_may_hold_the_projects_settings(home: Path, project: Path):
    (project / "pyproject.toml").write_text('[tool.orion]\napi-url = "http://pyproject/api"\n')

    settings = current_settings()

    assert settings.api_url == "http://pyproject/api"
    assert "[tool.orion]" in settings.origin("api_url")


def test_the_environment_beats_files(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "orion.toml").write_text('api_url = "http://project/api"\n')
    monkeypatch.setenv("ORION_API_URL", "http://environment/api/")

    settings = current_settings()

    assert settings.api_url == "http://environment/api"
    assert settings.origin("api_url") == "environment ORION_API_URL"


def test_a_flag_beats_everything_while_it_lasts(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_API_URL", "http://environment/api")

    with override_settings(api_url="http://flag/api"):
        inside = current_settings()

    assert (inside.api_url, inside.origin("api_url")) == ("http://flag/api", "flag")
    assert current_settings().api_url == "http://environment/api"


def test_an_empty_variable_means_the_default(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch):
    save_profile(home, api_url="http://profile/api")
    monkeypatch.setenv("ORION_API_URL", "")

    settings = current_settings()

    assert settings.api_url is None


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("ORION_API_URL", "localhost:4200", "is not an http:// or https:// address"),
        ("ORION_REPORTING_BATCH_SIZE", "many", "is not a whole number"),
        ("ORION_REPORTING_BATCH_SIZE", "0", "is too small; the least is 1"),
        ("ORION_API_READ_TIMEOUT_SECONDS", "-1", "must be zero or more"),
        ("ORION_LOGGING_LEVEL", "LOUD", "is not a log level"),
        ("ORION_LOGGING_TO_API", "perhaps", "is not a yes or no"),
    ],
)
def test_an_unreadable_value_is_reported_with_its_name_and_origin(
    name: str, raw: str, sentence: str, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, raw)

    with pytest.raises(SettingsError) as raised:
        current_settings()

    assert str(raised.value).startswith(f"{name}={raw!r} (environment {name}) {sentence}")


def test_a_profile_that_does_not_exist_is_reported(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_PROFILE", "missing")

    with pytest.raises(SettingsError, match="There is no profile 'missing' in .+; it knows default"):
        current_settings()


def test_a_profile_cannot_move_the_home_it_lies_in(home: Path, project: Path):
    save_profile(home, home="/elsewhere")

    assert current_settings().home == home


def test_a_broken_file_is_reported_in_one_sentence(home: Path, project: Path):
    (project / "orion.toml").write_text("api_url = = 1")

    with pytest.raises(SettingsError, match=r"orion.toml is not valid TOML: .+"):
        current_settings()


def test_a_profile_survives_being_written_and_read(home: Path):
    values = {"api_url": 'http://a/"b"\\c', "reporting_batch_size": 7, "logging_to_api": True, "odd key": "ü\n\x7f\t"}
    save_profile(home, **values)

    found = read_profiles(home)

    assert (found.active, found.profiles["mine"]) == ("mine", values)


def test_the_file_of_profiles_is_readable_by_its_owner_only(home: Path):
    save_profile(home, api_key="secret")

    assert (home / "profiles.toml").stat().st_mode & 0o077 == 0


def test_the_page_of_settings_names_every_one_of_them():
    page = settings_page()

    assert all(f"`ORION_{one.name.upper()}`" in page for one in settings_table())


def test_a_byte_order_mark_is_not_part_of_a_file(tmp_path):
    (tmp_path / "orion.toml").write_bytes(b"\xef\xbb\xbfapi_url = 'http://127.0.0.1:9/api'\n")

    ((_, values),) = project_layer(str(tmp_path))

    assert values == {"api_url": "http://127.0.0.1:9/api"}


@pytest.mark.parametrize("content", [b"garbage\n", b"[1]\n", b"\xff\xfe\n", b'"text"\n'])
def test_a_file_that_is_not_a_spool_is_put_aside(tmp_path, content):
    (tmp_path / "1.jsonl").write_bytes(content)

    assert list(leftovers(tmp_path)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["1.bad"]


def test_doctor_finds_settings_that_are_misspelt(project, monkeypatch):
    (project / "orion.toml").write_text("api_ulr = 'http://127.0.0.1:9/api'\n")
    monkeypatch.setenv("ORION_API_ULR", "http://127.0.0.1:9/api")

    slips = [(one.text, one.fix) for one in examined() if one.verdict == "warning"]

    assert ("ORION_API_ULR is unknown", "did you mean ORION_API_URL?") in slips
    assert any(text.endswith("api_ulr is unknown") and fix == "did you mean api_url?" for text, fix in slips)


def test_misspelt_names_are_reported_where_settings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "orion.toml").write_text("api_ulr = 'http://127.0.0.1:1/api'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORION_TASK_DEFAULT_RETIRES", "3")

    current_settings()

    messages = " ".join(record.getMessage() for record in caplog.records)
    assert "did you mean api_url?" in messages
    assert "ORION_TASK_DEFAULT_RETIRES is unknown; did you mean ORION_TASK_DEFAULT_RETRIES?" in messages
