"""Outages of the API: how long it has been away, when to try again, and when to stop waiting."""

from __future__ import annotations

from pathlib import Path

from orionflow.attempt import awake_since
from orionflow.client.transport import Patience
from orionflow.errors import ApiError, ApiUnreachable, DatabaseNotReady
from orionflow.reporting.delivery import is_hopeless

# After this many failures, the batch is searched for an item that the server fails on.
FAILURES_BEFORE_SUSPICION = 3


class Outage:
    """The failures since the last success. The caller holds the reporter's lock."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began: float | None = None
        self.failures = 0
        self.next_try_at = 0.0
        self.error: ApiError | None = None

    @property
    def is_on(self) -> bool:
        return self.error is not None

    @property
    def may_be_one_item(self) -> bool:
        """Whether a single item may make the server fail, so that halves of the batch are tried."""
        return self.failures >= FAILURES_BEFORE_SUSPICION

    def note_failure(self, error: ApiError, now: float) -> None:
        self._began = now if self._began is None else awake_since(self._began)
        self.next_try_at = now + max(self._patience.delay(self.failures), error.retry_after)
        # The last try is made when the budget ends, not one pause later.
        if now < (end := self._began + self._patience.budget_seconds):
            self.next_try_at = min(self.next_try_at, end)
        self.failures += 1
        self.error = error

    def note_success(self) -> None:
        self._began, self.failures, self.error = None, 0, None

    def lasted(self, now: float) -> float:
        return 0.0 if self._began is None else now - awake_since(self._began)

    def is_over_budget(self, now: float) -> bool:
        """Whether the budget is used up, so that waiting callers get an error."""
        if self.error is None:
            return False
        return is_hopeless(self.error) or self.lasted(now) >= self._patience.budget_seconds


def undelivered(
    waiting: int, path: Path | None, error: ApiError, *, kept_lines: int = 0, lost_lines: int = 0
) -> ApiError:
    """Return the error for waiting callers: the number of missing reports, where they are, and why."""
    count = _counted(waiting, "reported transition")
    if kept_lines:
        count += f" and {_counted(kept_lines, 'warning or error', 'warnings and errors')} of the log"
    kept = f"kept in {path}, to be sent when Orion runs here again" if path else "and end with this process"
    lost = f"; {_counted(lost_lines, 'log line')} ended with this process" if lost_lines else ""
    kind = DatabaseNotReady if isinstance(error, DatabaseNotReady) else ApiUnreachable
    return kind(f"{count} could not be delivered, {kept}{lost}. {error}", status=error.status)


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many or one + 's'}"
