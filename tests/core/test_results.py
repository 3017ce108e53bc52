"""The part of a state's data that is kept, and the part that is shown to people."""

from __future__ import annotations

import pytest

from orchestration.core.results import ShownResult, taken_apart

KEPT = {"type": "reference", "storage_key": "k"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        ["artifact_type"],
        KEPT,
        {**KEPT, "artifact_type": None},
        {**KEPT, "artifact_type": ""},
        {**KEPT, "artifact_type": 5},
        {**KEPT, "artifact_type": "x" * 256},
        {"type": "unpersisted", "artifact_type": "result"},
    ],
)
def test_data_without_a_label_stays_as_it_is(data):
    assert taken_apart(data) == (data, None)


def test_a_labelled_result_loses_its_labels_and_is_shown():
    labels = {"artifact_key": "k", "artifact_type": "result", "artifact_description": "At `k`."}

    assert taken_apart({**KEPT, **labels}) == (KEPT, ShownResult("result", "At `k`.", KEPT))
    assert taken_apart({**KEPT, "artifact_type": "result", "artifact_description": 5})[1] == ShownResult(
        "result", None, KEPT
    )
