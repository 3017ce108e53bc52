"""Graph and radar of a flow run: which data went from task to task, and what became of it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from django.test import Client

from runs.models import FlowRun, TaskRun, TaskRunState
from runs.pages.selectors.graph import TASK_RUNS_APART
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, make_run, make_task_run

SVG = "{http://www.w3.org/2000/svg}"


def taken_from(*sources: TaskRun) -> list[dict[str, str]]:
    return [{"input_type": "task_run", "id": str(source.id)} for source in sources]


def chain(run: FlowRun) -> list[TaskRun]:
    """extract → clean → load, and a task that has to do with none of them."""
    runs: list[TaskRun] = []
    for name in ("extract", "clean", "load"):
        inputs = {"rows": taken_from(runs[-1])} if runs else {}
        runs.append(make_task_run(f"{name}-0", flow_run=run, task_key=f"etl.{name}", task_inputs=inputs))
    return [*runs, make_task_run("apart-0", flow_run=run, task_key="etl.apart")]


def graph_of(browser: Client, run: FlowRun, **asked: str):
    return browser.get(f"/runs/{run.id}", {"tab": "graph", **asked})


def drawn(answer) -> ElementTree.Element:
    text = answer.content.decode()
    begin = text.index('<svg class="graph-svg"')
    return ElementTree.fromstring(text[begin : text.index("</svg>", begin) + 6])


@pytest.mark.parametrize("view", ["graph", "radar"])
def test_edges_lead_from_where_data_came_from_and_name_the_parameter(browser: Client, view: str):
    run = make_run()
    chain(run)

    picture = drawn(graph_of(browser, run, view=view))

    edges = [
        (edge.get("id"), edge.findtext("title")) for edge in picture.iter("path") if "edge" in edge.get("class", "")
    ]
    assert edges == [("e0-1", "extract-0 → clean-0: rows"), ("e1-2", "clean-0 → load-0: rows")]
    assert [node.findtext("title") for node in picture.iter("a")] == [
        "extract-0: Completed", "clean-0: Completed", "load-0: Completed", "apart-0: Completed"
    ]  # fmt: skip


def test_mapped_runs_are_one_node_with_the_worst_of_their_states(browser: Client):
    run = make_run()
    source = make_task_run("extract-0", flow_run=run, task_key="etl.extract")
    for number in range(50):
        state = "FAILED" if number == 7 else "COMPLETED"
        make_task_run(
            f"load-{number}", flow_run=run, task_key="etl.load", state=state, task_inputs={"row": taken_from(source)}
        )

    by_task, apart = graph_of(browser, run), graph_of(browser, run, by="run")

    assert [node.findtext("title") for node in drawn(by_task).iter("a")] == [
        "extract: Completed",
        "load × 50: 1 of 50 failed",
    ]
    assert by_task.context["graph"].edges == {(0, 1): ["row"]}
    assert len(apart.context["graph"].nodes) == 51
    assert "s-failed" in {node.get("class").split()[1] for node in drawn(by_task).iter("a")}


def test_a_chosen_node_marks_all_that_its_data_came_from_and_went_to(browser: Client):
    run = make_run()
    _, clean, _, _ = chain(run)

    answer = graph_of(browser, run, node=str(clean.id))

    classes = {node.get("id"): node.get("class").split()[2:] for node in drawn(answer).iter("a")}
    assert classes == {"n0": ["upstream"], "n1": ["chosen"], "n2": ["downstream"], "n3": []}
    edges = {path.get("id"): path.get("class") for path in drawn(answer).iter("path") if path.get("id")}
    assert edges == {"e0-1": "edge upstream", "e1-2": "edge downstream"}
    assert f"node={clean.id}" in answer.context["view_choices"][1][0]


def test_the_panel_shows_inputs_result_and_links(browser: Client, settings, tmp_path):
    run = make_run()
    source = make_task_run("extract-0", flow_run=run, task_key="etl.extract")
    elsewhere = uuid4()
    task = make_task_run(
        "load-0",
        flow_run=run,
        task_inputs={
            "rows": [*taken_from(source), {"input_type": "task_run", "id": str(elsewhere)}],
            "day": [{"input_type": "parameter", "name": "day_of_run"}],
        },
    )
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "0af3").write_bytes(bytes(2048))
    settings.ORION_RESULTS_FOLDERS = [folder]
    stored = {"type": "reference", "storage_key": "0af3", "storage": folder.as_uri()}
    TaskRunState.objects.filter(pk=task.state_id).update(data=stored)

    page = graph_of(browser, run, node=str(task.id)).content.decode()
    panel = page[page.index('aria-label="Chosen node"') :]

    assert f'<code>rows</code> ← <a href="?tab=graph&amp;view=graph&amp;node={source.id}">extract-0</a>' in panel
    assert f'href="/task-runs/{elsewhere}"' in panel
    assert "parameter <code>day_of_run</code> of the flow" in panel
    for words in ("0af3", folder.as_uri(), "2.0\xa0KB", "1 upstream, 0 downstream"):
        assert words in panel
    assert f'href="/task-runs/{task.id}?tab=logs"' in panel


def test_a_subflow_is_a_node_that_leads_to_its_run(browser: Client):
    run = make_run()
    stands = make_task_run("inner-0", flow_run=run)
    child = make_run("inner-run", parent_task_run=stands)

    answer = graph_of(browser, run, node=str(stands.id), view="radar")

    node = next(drawn(answer).iter("a"))
    assert node.get("data-open") == f"/runs/{child.id}?tab=graph"
    assert f'<a href="/runs/{child.id}?tab=graph">Subflow inner-run</a>' in answer.content.decode()


def test_a_task_that_takes_its_own_results_is_drawn(browser: Client):
    run = make_run()
    first = make_task_run("step-0", flow_run=run, task_key="etl.step")
    make_task_run("step-1", flow_run=run, task_key="etl.step", task_inputs={"last": taken_from(first)})

    graph = graph_of(browser, run, by="task").context["graph"]

    assert graph.ranks.back == {(0, 0)}


def test_the_table_has_the_content_of_the_graph(browser: Client):
    run = make_run()
    chain(run)

    rows = graph_of(browser, run, view="table").context["rows"]

    assert [(row["node"].name, [one.node.name for one in row["sources"]], row["targets"]) for row in rows] == [
        ("extract-0", [], 1), ("apart-0", [], 0), ("clean-0", ["extract-0"], 1), ("load-0", ["clean-0"], 0)
    ]  # fmt: skip


def many(run: FlowRun, number: int) -> None:
    rows: list[TaskRun] = []
    for place in range(number):
        key = f"etl.load-{place % 3}"
        inputs = {"rows": taken_from(rows[-1])} if place % 3 else {}
        rows.append(
            TaskRun(
                flow_run=run, task_key=key, dynamic_key=str(place), name=f"load-{place}", state_type="COMPLETED",
                task_inputs=inputs, created=NOON + timedelta(milliseconds=place),
            )
        )  # fmt: skip
    TaskRun.objects.bulk_create(rows)


def test_task_runs_beyond_the_room_of_the_picture_are_one_node_that_can_be_opened(browser: Client):
    run = make_run()
    many(run, 3 * TASK_RUNS_APART)

    closed = graph_of(browser, run, by="run").context["graph"]
    opened = graph_of(browser, run, by="run", open="etl.load-1").context["graph"]

    assert sorted(node.number for node in closed.nodes)[-2:] == [TASK_RUNS_APART] * 2
    assert sum(node.number for node in closed.nodes) == 3 * TASK_RUNS_APART
    assert sum(node.run is not None and node.task_key == "etl.load-1" for node in opened.nodes) == TASK_RUNS_APART


@pytest.mark.parametrize("number", [3, 300])
@pytest.mark.parametrize("view", ["graph", "radar", "table"])
def test_the_graph_takes_a_constant_number_of_queries(
    browser: Client, number: int, view: str, django_assert_max_num_queries
):
    run = make_run()
    many(run, number)

    with django_assert_max_num_queries(12):
        answer = graph_of(browser, run, view=view, by="run", node=str(run.task_runs.first().id))

    assert len(answer.context["graph"].nodes) == number


def test_the_picture_can_be_saved_with_all_that_it_needs(browser: Client):
    run = make_run(name=HOSTILE)
    chain(run)
    make_task_run(HOSTILE, flow_run=run, task_key=HOSTILE)

    answer = browser.get(f"/runs/{run.id}/graph.svg", {"view": "radar"})

    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Content-Disposition"].startswith('attachment; filename="radar-of-')
    picture = ElementTree.fromstring(answer.content)
    used = {use.get("href") for use in picture.iter(f"{SVG}use")}
    assert used <= {f"#{symbol.get('id')}" for symbol in picture.iter(f"{SVG}symbol")}
    assert not any(link.get("href") for link in picture.iter(f"{SVG}a"))
    assert picture.find(f".//{SVG}script") is None
    # Programs that show pictures know no variables.
    assert ".s-completed { color: #279c6e; }" in answer.content.decode()


def test_the_graph_of_a_run_without_task_runs_has_a_note(browser: Client):
    assert b"The flow has called no task." in graph_of(browser, make_run()).content


@pytest.mark.parametrize("asked", [{"view": "x"}, {"by": "x"}, {"node": HOSTILE}, {"open": HOSTILE}])
def test_invalid_options_show_the_default_graph(browser: Client, asked: dict[str, str]):
    run = make_run()
    chain(run)

    answer = graph_of(browser, run, **asked)

    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()
    assert answer.context["graph"].chosen is None
