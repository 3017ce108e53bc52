"""Where the results of a run are kept. The server names places and sizes, and loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from deployments.models import BlockDocument, BlockSchema, BlockType
from orionflow.contract.seals import MARK, SEAL_BYTES, digest_of_content
from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState
from tests.web.conftest import HOSTILE
from tests.web.rows import make_run, make_task_run


def with_result(run: FlowRun | TaskRun, data: Any) -> FlowRun | TaskRun:
    model = FlowRunState if isinstance(run, FlowRun) else TaskRunState
    model.objects.filter(pk=run.state_id).update(data=data)
    return run


def reference(storage: str, key: str = "3f9a", **more: Any) -> dict[str, Any]:
    return {"type": "reference", "storage_key": key, "storage": storage, "serializer_type": "json", **more}


def result_of(browser: Client, data: Any):
    task = make_task_run("load-0")
    with_result(task, data)
    answer = browser.get(f"/task-runs/{task.id}?tab=result")
    return answer.context["results"].results[0], answer.content.decode()


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.ORION_RESULTS_FOLDERS = [tmp_path]
    return tmp_path


def test_a_flow_run_lists_its_own_result_and_those_of_its_tasks(browser: Client):
    run = make_run()
    with_result(run, {"type": "literal", "value": True})
    with_result(make_task_run("load-0", flow_run=run), reference("s3://bucket/results"))
    make_task_run("save-0", flow_run=run, state="FAILED")
    with_result(make_task_run("elsewhere"), reference("file:///x"))

    page = browser.get(f"/runs/{run.id}?tab=results").content.decode()

    for text in ("This flow run", "true", "load-0", "3f9a", "s3://bucket/results", "written as json"):
        assert text in page
    assert "save-0" not in page
    assert "elsewhere" not in page


def test_results_that_were_not_stored_are_explained_once(browser: Client):
    run = make_run()
    for number in range(3):
        make_task_run(f"load-{number}", flow_run=run)
    with_result(make_task_run("save-0", flow_run=run), reference("s3://bucket/results"))

    page = browser.get(f"/runs/{run.id}?tab=results").content.decode()

    assert page.count("not stored") == 1
    assert "4 results were not stored" in page
    assert all(name in page for name in ("This flow run", "load-0", "load-1", "load-2"))


def test_a_location_and_what_is_known_of_the_bytes_are_shown(browser: Client):
    given = {"size": 2048, "expiration": "2027-01-01T00:00:00+00:00"}

    found, page = result_of(browser, reference("location:lake", **given))

    assert (found.location, found.size, found.kept_until.year) == ("lake", 2048, 2027)
    assert 'href="/blocks?type=result-location"' in page
    assert "2.0\xa0KB" in page
    assert 'datetime="2027-01-01' in page


def test_a_result_that_was_not_stored_is_explained_with_a_way_to_store_it(browser: Client, folder: Path):
    remote, page = result_of(browser, reference("location:lake", unstored=f"no room {HOSTILE}"))
    gone, _ = result_of(browser, reference(folder.as_uri(), unstored="no room"))
    (folder / "3f9a").write_bytes(b"x")
    later, _ = result_of(browser, reference(folder.as_uri(), unstored="no room"))

    assert "It could not be stored: no room" in remote.problem
    assert HOSTILE not in page
    assert "no room" in gone.problem
    assert (later.problem, later.size) == ("", 1), "it was stored since"


def test_a_file_that_is_there_has_a_size(browser: Client, folder: Path):
    (folder / "3f9a").write_bytes(b"x" * 2048)

    found, page = result_of(browser, reference(folder.as_uri()))

    assert found.size == 2048
    assert found.problem == ""
    assert "2.0\xa0KB" in page


def test_a_file_overwritten_by_another_run_is_not_shown_as_available(browser: Client, folder: Path):
    (folder / "latest.json").write_bytes(b"[2]")
    own, other = (digest_of_content(one) for one in (b"[2]", b"[1]"))

    there, _ = result_of(browser, reference(folder.as_uri(), "latest.json", digest=own))
    gone, page = result_of(browser, reference(folder.as_uri(), "latest.json", digest=other))
    (folder / "latest.json").write_bytes(MARK + bytes(SEAL_BYTES) + b"[2]")
    sealed, _ = result_of(browser, reference(folder.as_uri(), "latest.json", digest=own))

    assert (there.size, there.problem) == (3, "")
    assert gone.size is None
    assert "Another run has written over its file since." in page
    assert (sealed.size, sealed.problem) == (3 + len(MARK) + SEAL_BYTES, "")


def test_a_file_that_is_gone_is_explained_with_what_to_change(browser: Client, folder: Path):
    found, page = result_of(browser, reference(folder.as_uri()))

    assert found.size is None
    assert "This server cannot find its file" in page
    assert "refresh_cache=True" in found.remedy


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "."])
def test_a_key_that_leads_out_of_its_folder_is_not_looked_at(browser: Client, folder: Path, key: str):
    found, _ = result_of(browser, reference(folder.as_uri(), key))

    assert found.size is None
    assert "leads out of the folder" in found.problem


def test_a_link_is_not_followed(browser: Client, folder: Path, tmp_path_factory: pytest.TempPathFactory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("x")
    (folder / "3f9a").symlink_to(secret)

    found, _ = result_of(browser, reference(folder.as_uri()))

    assert found.size is None
    assert "names no file" in found.problem


def test_a_folder_that_the_server_does_not_know_is_not_looked_into(browser: Client, tmp_path: Path):
    (tmp_path / "3f9a").write_text("x")

    found, page = result_of(browser, reference(tmp_path.as_uri()))

    assert (found.size, found.problem) == (None, "")
    assert tmp_path.as_uri() in page


def test_a_storage_block_is_linked_and_one_that_is_gone_is_explained(browser: Client):
    kind = BlockType.objects.create(name="S3", slug="s3")
    schema = BlockSchema.objects.create(block_type=kind, checksum="sha256:x", fields={})
    block = BlockDocument.objects.create(name="lake", block_type=kind, block_schema=schema)

    _, page = result_of(browser, reference("", storage_block_id=str(block.id)))
    _, other = result_of(browser, reference("", storage_block_id=str(uuid4())))

    assert f'href="/blocks/{block.id}"' in page
    assert "s3/lake" in page
    assert "was deleted" in other


@pytest.mark.parametrize(
    "data",
    [None, {"type": "unpersisted"}, {"type": "reference"}, {"type": "reference", "storage_key": 3}, [1], "x",
     {"a": HOSTILE}, {"encoding": "json", "blob": HOSTILE},
     {"type": "reference", "storage_key": HOSTILE, "storage_block_id": "no"},
     {"type": "reference", "storage_key": "x", "digest": [HOSTILE]}],
)  # fmt: skip
def test_the_page_shows_results_with_any_data_of_clients(browser: Client, data: Any):
    _, page = result_of(browser, data)

    assert HOSTILE not in page


def test_a_page_of_results_costs_few_queries(browser: Client, django_assert_max_num_queries):
    run = make_run()
    for place in range(30):
        with_result(make_task_run(f"load-{place}", flow_run=run), reference("", storage_block_id=str(uuid4())))

    with django_assert_max_num_queries(8):
        browser.get(f"/runs/{run.id}?tab=results")


@pytest.mark.parametrize(
    "recorded",
    [None, [], HOSTILE, {"task_run_id": HOSTILE, "inputs": HOSTILE},
     {"task_run_id": [1], "inputs": {HOSTILE: [HOSTILE]}},
     {"task_run_id": str(uuid4()), "inputs": {str(number): "x" for number in range(10_000)}}],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Cached", "Completed"])
def test_the_page_shows_cached_results_with_any_data_of_clients(browser: Client, recorded: Any, name: str):
    task = make_task_run("load-0", state_name=name)
    details = {"cache_key": HOSTILE, "cache_expiration": "never"}
    data = {"type": "literal", "value": 1, "cache": recorded}
    TaskRunState.objects.filter(pk=task.state_id).update(data=data, details=details)

    answer = browser.get(f"/task-runs/{task.id}")
    page = answer.content.decode()

    assert answer.status_code == 200
    assert f"Cache {'hit' if name == 'Cached' else 'miss'}" in page
    assert HOSTILE not in page
    assert len(page) < 100_000
