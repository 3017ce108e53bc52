"""A capsule has what a run recorded, and no secret, in whatever place the run had it."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path

import pytest

from orionflow.replay.capsule import LOGS, read_capsule
from orionflow.replay.code_files import find_code
from orionflow.replay.pulling import without_environment
from orionflow.replay.records import read_records
from orionflow.replay.secret_names import SecretNames
from tests.replay.conftest import ETL, Place

# Each is looked for by its middle, however the rest is spelled; no digest has these letters.
STORED = 'canary-"stored" ä\\n-Heart7QZx'
STORED_HEART = "Heart7QZx"
SHELL, SHELL_HEART = "canary-of-the-shell-Heart9QZy", "Heart9QZy"
IN_URL, URL_HEART = "postgres://ada:canary-url-5b2d@db/shop", "canary-url-5b2d"
LEAKY = f'''
import os

from orionflow import flow, get_run_logger, task
from orionflow.storage.secrets import Secret

API_KEY = "canary-code-4d4d"
DATABASE = "{IN_URL}"


def secret():
    from orionflow.engine.api import current_client
    return open("value.txt").read()


@task(persist_result=True)
def kept(value):
    return {{"inside": value}}


@task(persist_result=True, result_serializer="json")
def kept_as_json(value):
    return {{"password": "canary-field-6e6e", "inside": value}}


@task(persist_result=True, result_serializer="compressed/pickle")
def kept_small(value):
    return [value] * 100


@task
def raising(value):
    raise ValueError(f"cannot log in with {{value}} at {IN_URL}")


@flow(log_prints=True)
def leaky(token: str, deep: dict, said: str):
    value = secret()
    get_run_logger().warning("connecting with %s and password=canary-prose-8a8a", value)
    print("Authorization: Bearer canaryBearer0f0f0f0f")
    print(os.environ["SHOP_PASSWORD"])
    kept(value), kept_as_json(value), kept_small(value)
    raising(value)
'''
CANARIES = [
    STORED_HEART, SHELL_HEART, URL_HEART, "canary-code-4d4d", "canary-field-6e6e", "canary-prose-8a8a",
    "canaryBearer0f0f", "canary-env-1a1a", "canary-key-2b2b", "canary-index-3c3c", "canary-param-5d5d",
    "canary-var-7b7b",
]  # fmt: skip


def whole(file: Path) -> bytes:
    """Every byte of a capsule, unpacked, twice where a member is compressed itself."""
    found = [file.read_bytes()]
    with zipfile.ZipFile(io.BytesIO(found[0])) as archive:
        for name in archive.namelist():
            found += [name.encode(), archive.read(name)]
    for one in list(found):
        try:
            found.append(zlib.decompress(one))
        except zlib.error:
            continue
    return b"\n".join(found)


@pytest.mark.long
def test_no_secret_is_in_a_capsule_in_whatever_place_the_run_had_it(place: Place):
    place.write("flows.py", LEAKY)
    (place.folder / "value.txt").write_text(STORED)
    place.write(".env", "TOKEN=canary-env-1a1a")
    place.write("server.pem", "canary-key-2b2b")
    place.write("secrets.sql", "select 'canary-key-2b2b'")
    place.write("pip.conf", "index-url = https://u:canary-index-3c3c@pypi.example/simple")
    place.write("settings_of_shop.py", "INDEX = 'https://u:canary-index-3c3c@pypi.example/simple'\n")
    environment = {"SHOP_PASSWORD": SHELL}
    assert place.orion("secret", "set", "shop", stdin=STORED).code == 0
    assert place.orion("variable", "set", "db_password", "canary-var-7b7b").code == 0
    parameters = json.dumps(
        {
            "token": "canary-param-5d5d",
            "deep": {"x": [{"api_key": "canary-param-5d5d"}]},
            "said": f"{STORED} canary-var-7b7b",
        }
    )
    assert place.orion("run", "flows.py:leaky", "--params", parameters, **environment).code == 1

    file = place.capsule("--entrypoint", "flows.py:leaky", **environment)

    content = whole(file)
    assert [one for one in CANARIES if one.encode() in content] == []
    runs = read_capsule(file).runs["flow_runs"][0]
    assert runs["run"]["parameters"]["said"].startswith("[secret secret/shop]")
    assert "which must not travel" in json.dumps(runs["results"])


@pytest.mark.long
def test_a_capsule_has_runs_states_rules_results_log_and_packages(failed: Place):
    capsule = read_capsule(failed.capsule("--entrypoint", "flows.py:etl"))

    records = read_records(capsule)
    names = [task.name for _, task in records.task_runs()]
    assert names == ["extract-0", "transform-0", "transform-1", "transform-2", "transform-3"]
    assert sum(result.is_there for result in records.root.results.values()) == 4
    whole_run = capsule.runs["flow_runs"][0]
    assert any(state["trail"] for state in whole_run["why"]["history"])
    assert [one["name"] for one in whole_run["task_runs"] if "why" in one] == ["transform-2"]
    assert any("customer_id" in line["message"] for line in map(json.loads, capsule.read(LOGS).splitlines()))
    assert capsule.manifest["environment_of"] == "the run"
    assert "pydantic" in capsule.manifest["packages"]
    assert capsule.manifest["code"]["is_that_of_the_run"] is True
    assert capsule.read("code/flows.py").decode() == ETL


@pytest.mark.long
def test_results_that_do_not_fit_are_reported_as_too_large(place: Place):
    place.write(
        "flows.py",
        """
        import os
        from orionflow import flow, task

        @task(persist_result=True)
        def large():
            return os.urandom(2_000_000)

        @flow
        def etl():
            large()
        """,
    )
    assert place.orion("run", "flows.py:etl").code == 0

    refused = place.orion("pull", "@last", "-f", "bug.orion", "--max-size", "1")
    assert refused.code == 1
    assert "larger than 1 MB" in refused.err
    assert "--no-results" in refused.err
    assert not (place.folder / "bug.orion").exists()
    assert list(place.folder.glob(".*")) == []
    without = read_records(read_capsule(place.capsule("--no-results")))
    assert [one.missing for one in without.root.results.values() if one.reference] == [
        "results were left out with --no-results"
    ]


@pytest.mark.long
def test_an_existing_file_is_kept(failed: Place):
    (failed.folder / "bug.orion").write_text("mine")

    refused = failed.orion("pull", "@last", "-f", "bug.orion")

    assert refused.code == 6
    assert (failed.folder / "bug.orion").read_text() == "mine"


@pytest.mark.parametrize("entrypoint", ["/etc/passwd:x", "../outside.py:x", "os:system", "value.txt:x", "link.py:x"])
def test_an_entry_point_of_the_api_names_no_file_outside_of_the_folder(tmp_path: Path, entrypoint: str):
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "outside.py").write_text("x = 1")
    (here / "value.txt").write_text("x")
    (here / "link.py").symlink_to(tmp_path / "outside.py")

    assert find_code(entrypoint, here) is None


def test_links_hidden_and_secret_files_are_not_code(tmp_path: Path):
    from orionflow.replay.code_files import files_of

    (tmp_path / "flows.py").write_text("x = 1")
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    (tmp_path / ".hidden.py").write_text("x")
    (tmp_path / "with space.py").write_text("x")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "lib.py").write_text("x")
    (tmp_path / "large.py").write_text("#" * 300_000)
    code = find_code("flows.py:etl", tmp_path)

    assert [one.name for one in files_of(code, SecretNames())] == ["flows.py"]
    assert {line.partition(":")[0] for line in code.left_out} >= {"link.py", "large.py", "with space.py"}


@pytest.mark.parametrize(
    "text",
    [
        "https://u:hunter22@host/x",
        "https://hunter22hunter22hunter22@host/x",
        "password=hunter22", 'token: "hunter22"', "Authorization: Bearer hunter22abc",
        "AKIAHUNTERHUNTER2222", "ghp_hunter22hunter22hunter22", "xoxb-hunter22-hunter22", "orn_hunter22hunter22",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter22\n-----END RSA PRIVATE KEY-----",
        "eyJhunter22hunter.eyJhunter22hunter.hunter22",
    ],
)  # fmt: skip
def test_texts_that_look_like_credentials_are_replaced(text: str):
    names = SecretNames()

    assert "hunter" not in names.prose(text).lower()
    assert "HUNTER" not in names.prose(text)


def test_code_stays_code():
    names = SecretNames()
    code = (
        'token = os.environ["TOKEN"]\npassword: str = get("db")\nAPI_KEY = "hunter22"\nD = {"secret": "hunter22"}\n'
        'log(f"password={password} token={token!r}")\nsay("with password=hunter22 now")\n# password: hunter22\n'
    )

    masked = names.code(code)

    compile(masked, "x", "exec")
    assert "hunter22" not in masked
    assert 'token = os.environ["TOKEN"]' in masked
    assert 'get("db")' in masked
    assert "password={password} token={token!r}" in masked


def test_values_of_environment_variables_are_left_out():
    records = {"job_variables": {"env": {"HOST": "db-7"}, "image": "x"}, "parameters": {"env": {"a": "b"}}}

    left = without_environment(records)

    assert left == {"job_variables": {"env": {"HOST": "[left out]"}, "image": "x"}, "parameters": {"env": {"a": "b"}}}


def test_a_long_line_does_not_take_long():
    names = SecretNames()
    lines = [
        "a." * 30_000,
        "eyJ" * 20_000,
        "-eyJ" * 15_000,
        "password" * 8_000,
        "://" * 20_000,
        "x" * 65_536,
        "= " * 30_000,
    ]

    for line in lines:
        names.prose(line)
        names.code(line)


@pytest.mark.parametrize("value", ["test", "flow", "production"])
def test_a_short_or_common_secret_leaves_code_names_and_results_alone(value: str):
    names = SecretNames()
    names.learn({"$DB_PASSWORD": value})
    code = f'def {value}_x():\n    return "{value}"\n'
    records = {"name": value, "task_key": f"{value}-1", "parameters": {value: [value, f"a {value}"]}}

    masked = names.json(records)

    assert names.code(code) == code
    assert masked == {**records, "parameters": {value: ["[secret $DB_PASSWORD]", f"a {value}"]}}
    assert names.found == {"$DB_PASSWORD"}
    assert names.in_bytes(f'{{"of": "{value}"}}'.encode(), "json") is None
    assert names.in_bytes(f'"{value}"'.encode(), "json") == "the secret $DB_PASSWORD"


def test_a_rare_secret_is_found_within_code_and_results():
    names = SecretNames()
    names.learn({"$DB_PASSWORD": "hunter2"})

    assert names.code('x = "my hunter2"') == 'x = "my [secret $DB_PASSWORD]"'
    assert names.in_bytes(b'{"of": "my hunter2"}', "json") == "the secret $DB_PASSWORD"
