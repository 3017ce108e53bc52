"""JSON that breaks one database or the other is refused, in the same words on both; lists stay readable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.models import FlowRun
from tests.factories import make_flow, make_flow_run
from tests.rounds import examples

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]

# The value that replaces {"n": …}, and the kind of error that it causes.
POISON = {
    "deep lists": (b"[" * 5000 + b"]" * 5000, "json_invalid"),
    "deep objects": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "json_invalid"),
    "a little too deep": (b"[" * 65 + b"]" * 65, "json_too_deep"),
    "lone high surrogate": (rb'"\ud800"', "json_invalid"),
    "lone low surrogate": (rb'"x\udfff"', "json_invalid"),
    "surrogate as bytes": (b'"\xed\xa0\x80"', "json_invalid"),
    "NUL escaped": (rb'"a\u0000b"', "nul_character"),
    "NUL in a key": (rb'{"a\u0000": 1}', "nul_character"),
    "NUL as byte": (b'"a\x00b"', "json_invalid"),
    "2^63": (str(2**63).encode(), "int_out_of_range"),
    "-2^63-1": (str(-(2**63) - 1).encode(), "int_out_of_range"),
    "2^70 inside": (b'[[{"x": %d}]]' % 2**70, "int_out_of_range"),
    "5000 digits": (b"9" * 5000, "json_invalid"),
    "NaN": (b"NaN", "json_invalid"),
    "Infinity": (b"Infinity", "json_invalid"),
    "-Infinity": (b"[-Infinity]", "json_invalid"),
    "1e999": (b"1e999", "finite_number"),
    "broken UTF-8": (b'"\xff"', "json_invalid"),
}


@pytest.mark.parametrize(("poison", "kind"), POISON.values(), ids=POISON)
def test_poison_is_refused_before_it_is_stored(api, poison, kind):
    flow = make_flow()
    body = b'{"flow_id": "%s", "parameters": {"n": %s}}' % (str(flow.id).encode(), poison)

    answer = api.send("/flow_runs/", body)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["type"] == kind
    assert not FlowRun.objects.exists()


@pytest.mark.parametrize(("poison", "kind"), POISON.values(), ids=POISON)
def test_poison_in_the_data_of_a_state_is_refused(api, poison, kind):
    run = make_flow_run("RUNNING")

    state = b'{"type": "COMPLETED", "data": %s}' % poison
    item = b'{"task_run_id": "%s", "state": %s}' % (str(run.id).encode(), state)

    answer = api.send(f"/flow_runs/{run.id}/set_state", b'{"state": %s}' % state)
    batch = api.send("/task_runs/transitions", b'{"items": [%s]}' % item)

    assert (answer.status_code, batch.status_code) == (422, 422)
    assert api.send("/flow_runs/filter", {}).json()[0]["state_type"] == "RUNNING"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/flows/", rb'{"name": "a\u0000"}'),
        ("/artifacts/", rb'{"key": "a", "description": "\ud83d"}'),
        ("/concurrency_limits/", b'{"tag": "a", "concurrency_limit": 1180591620717411303424}'),
        ("/flow_runs/filter", rb'{"flow_runs": {"name": {"like_": "\u0000"}}}'),
        ("/flow_runs/filter", b'{"offset": 1180591620717411303424}'),
        (
            "/flow_runs/history",
            b"""{"history_start": "0001-01-01T00:00:00+14:00", "history_end": "2026-01-01",
            "history_interval_seconds": 1}""",
        ),
        (
            "/flow_runs/history",
            b'{"history_start": "2026-01-01", "history_end": "2026-01-02", "history_interval_seconds": NaN}',
        ),
    ],
)
def test_poison_elsewhere_is_refused(api, path, body):
    assert api.send(path, body).status_code == 422


@pytest.mark.parametrize(
    "path",
    ["/flows/name/a%00b", "/flow_run_states/?flow_run_id=%00", "/artifacts/%00/latest", "/concurrency_limits/tag/%00"],
)
def test_nul_in_an_address_is_refused(api, path):
    answer = api.read(path)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["type"] == "nul_character"


@pytest.mark.parametrize(
    "harmless",
    [
        r'"the text \\u0000"',
        r'"\\\\u0000"',
        '"NaN and Infinity"',
        str(2**63 - 1),
        "[" * 63 + "]" * 63,
        r'"\ud83d\ude00"',
        '"\u2028\uffff"',
        "1e15",
        "0.1",
    ],
)
def test_harmless_values_that_look_like_poison_are_kept(api, harmless):
    flow = make_flow()

    run = api.send("/flow_runs/", f'{{"flow_id": "{flow.id}", "parameters": {{"n": {harmless}}}}}'.encode())

    assert run.status_code == 201
    assert api.read(f"/flow_runs/{run.json()['id']}").json()["parameters"] == {"n": json.loads(harmless)}


# PostgreSQL returns floats beyond 2^53 as integers with the same digits; they are left out here.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-(2**53), 2**53)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@examples(6, 300)
@given(value=json_values)
def test_any_other_json_comes_back_as_it_went_in(api, value):
    run = make_flow_run("RUNNING")

    answer = api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "COMPLETED", "data": {"any": value}}})

    assert answer.status_code == 201
    assert api.read(f"/flow_runs/{run.id}").json()["state"]["data"] == {"any": value}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_is_read_in_each_encoding_that_its_beginning_shows(api, encoding):
    answer = api.send("/flows/", '{"name": "Grüße 😀"}'.encode(encoding))

    assert (answer.status_code, answer.json()["name"]) == (201, "Grüße 😀")


@pytest.mark.parametrize(
    "body", ['{"name": "x\ud800"}'.encode("utf-16-le", "surrogatepass"), b"\xff\xfe{", b"\xef\xbb\xbf", b"\xff"]
)
def test_bodies_that_only_begin_like_another_encoding_are_refused(api, body):
    answer = api.send("/flows/", body)

    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["/flows/", "/logs/"])
@pytest.mark.parametrize("encoding", ["gzip", "Deflate", "br", "gzip, identity"])
def test_compressed_bodies_are_refused_with_the_reason(api, path, encoding):
    answer = api.send(path, b"\x1f\x8b\x08\x00", **{"content-encoding": encoding})

    assert answer.status_code == 415
    assert f"without Content-Encoding: {encoding}" in answer.json()["detail"]


def test_a_body_may_be_called_uncompressed(api):
    answer = api.send("/flows/", b'{"name": "plain"}', **{"content-encoding": "identity"})

    assert answer.status_code == 201
