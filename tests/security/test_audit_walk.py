"""Every operation of the API that changes something is found in the audit log, with every object that it changed.

The conversation of the contract asks for each operation once. What it changed is seen by comparing tables.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import Resolver404, resolve

from orion_site.audit.models import Entry
from orion_site.openapi.document import operations
from tests.api.conftest import Api
from tests.api.test_permissions import ALL
from tests.audited import RUNS, KnownRows, Objects, changed, is_recorded_form
from tests.contract import test_golden
from tests.contract.test_golden import conversation

__all__ = ["conversation"]
OF_RUNS = {("DeleteFlowRun", "flow-run"), ("CancelFlowRun", "flow-run"), ("ResumeFlowRun", "flow-run")}
# In the conversation these find nothing to change; the log says that they were done, and no more.
WITHOUT_VALUES = {
    *(
        "AdoptDeployment",
        "CreateDatabase",
        "DeleteOwnedAutomations",
        "InstallSystemBlockTypes",
        "PauseUnlessServed",
        "ResumeDeployment",
    ),
    *("MakeLink", "ScheduleDeployment", "SetScheduleInactive", "StopBulkAction", "TryAutomation", "TryNotification"),
    "UpdatePoolQueue",
}
# Their changes are rolled back.
DRY_RUNS = {"CheckDeployment"}


class WatchingApi(Api):
    """Compares after each call what was changed with what was recorded."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = KnownRows()
        self.problems: list[str] = []
        self.recorded: set[str] = set()
        self.bare: set[str] = set()
        self.explained: set[str] = set()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        operation = _operation(method, path)
        last = Entry.objects.count()
        before = self._rows.now() if operation and _is_recorded(operation) else {}
        answer = super().call(method, path, body, **headers)
        after = self._rows.now() if before else {}
        if operation is not None:
            self._judge(
                operation,
                answer.status_code,
                changed(before, after),
                list(Entry.objects.order_by("day", "number")[last:]),
            )
        return answer

    def _judge(self, operation: Any, status: int, objects: Objects, new: list[Entry]) -> None:
        name = operation.__name__
        given = {(one.object_kind, one.object_id) for one in new}
        if not _is_recorded(operation):
            if new and not all(one.action == "blocks.secrets" for one in new):
                self.problems.append(f"{name} is recorded")
            return
        self.recorded.add(name)
        # Task runs follow from their flow run, and planned runs from their deployment.
        missing = {one for one in objects - given if one[0] not in RUNS or (name, one[0]) in OF_RUNS}
        if status < 400 and missing:
            self.problems.append(f"{name} changed {sorted(missing)}, and the log has {sorted(given)}")
        if status < 400 and not new and name not in DRY_RUNS:
            self.problems.append(f"{name} is not recorded")
        if status < 400 and new:
            found = any(one.before or one.after for one in new)
            (self.explained if found else self.bare).add(name)


def _operation(method: str, path: str) -> Any:
    try:
        view = resolve(f"/api{path}".partition("?")[0]).func
    except Resolver404:
        return None
    return next((one for one in getattr(view, "operations", ()) if one.method == method), None)


def _is_recorded(operation: Any) -> bool:
    return not operation.action_required.is_reading and not operation.action_required.is_reporting


@pytest.fixture
def watching(db: None, monkeypatch: pytest.MonkeyPatch) -> list[WatchingApi]:
    made: list[WatchingApi] = []

    def make() -> WatchingApi:
        made.append(WatchingApi())
        return made[-1]

    monkeypatch.setattr(test_golden, "Api", make)
    return made


def test_every_operation_that_changes_something_is_in_the_log(watching, request: pytest.FixtureRequest):
    request.getfixturevalue("conversation")

    (api,) = watching
    api.send("/me/link")
    assert "\n".join(api.problems) == ""
    writing = {operation.__name__ for _, operation in operations() if _is_recorded(operation)}
    assert writing - api.recorded == set()
    assert " ".join(sorted(api.bare - api.explained - WITHOUT_VALUES)) == ""


# Forms of the admin and of pages. What the tests of each of them change is compared with the log by their browser.
FORMS = [(path, view) for path, view in ALL if not path.startswith("api") and not getattr(view, "operations", None)]


@pytest.mark.parametrize(("path", "view"), FORMS, ids=[path for path, _ in FORMS])
def test_every_form_that_may_change_something_opens_an_act(path: str, view: Any):
    filled = "/" + re.sub(r"<(\w+:)?\w+>", lambda found: EXAMPLES.get(found[1] or "", "1"), path)
    action = getattr(view, "action_required", None)
    changes = path.startswith("admin/") or not (action.is_reading or action.is_reporting)

    assert is_recorded_form(filled) is changes


EXAMPLES = {"uuid:": "018f0000-0000-7000-8000-00000000000a", "slug:": "x", "int:": "1", "str:": "x", "path:": "1/"}
