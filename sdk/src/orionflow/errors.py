"""All errors that Orion's SDK raises.

OrionError
├── UsageError                 the program asks for something impossible; the message says what to write instead
│   ├── MissingContext         a task was called, or a run logger wanted, outside a flow
│   ├── ParameterError         the parameters of a call are wrong or invalid
│   ├── UnserializableError    an input or parameter cannot be stored or sent
│   └── SettingsError          a setting cannot be read
│       └── ProfileMissing     no profile has the name that was asked for
├── RunEnded                   a run ended in a state that has no value
│   ├── FailedRun, CrashedRun, CancelledRun, PausedRun
│   └── UpstreamFailed         an input of a task did not complete
├── UnfinishedRun              a run has not ended, so it has no value yet
├── MissingResult              a run finished, but its value was not kept
│   └── UntrustedResult        the value is stored in a place from which this program does not read
├── StorageFailed              a value could not be stored; storing it can be tried again
├── OrchestrationRefused       the rules refused a transition (ABORT, or a lost run)
├── TaskTimedOut, FlowTimedOut
├── NoSlotInTime               slots of a global limit did not become free in time
├── WorkerCrashed              the process that ran a task's function died
├── CodeUnavailable            the code of a deployed flow cannot be fetched or loaded
└── ApiError                   the API answered with an error, or did not answer
    ├── ApiUnreachable         no answer (after retries)
    ├── NotFound (404), Conflict (409), InvalidRequest (422), Overloaded (429, 503)
    ├── NotAllowed (401, 403)  the credentials are missing or wrong, or do not allow this
    ├── ServerFailed (5xx)     the API failed on the request
    └── DatabaseNotReady       the database behind the in-process API is missing, unmigrated or damaged
"""

from __future__ import annotations


class OrionError(Exception):
    """The root of all errors of the SDK."""


class UsageError(OrionError):
    """The program asks for something impossible; the message says what to write instead."""


class MissingContext(UsageError, RuntimeError):
    """A task was called, or a run logger requested, outside a flow run."""


class ParameterError(UsageError, TypeError):
    """The parameters of a call do not fit the function."""


class UnserializableError(UsageError, TypeError):
    """A value cannot be stored or sent."""


class SettingsError(UsageError, ValueError):
    """A setting cannot be read."""


class ProfileMissing(SettingsError):
    """No profile has this name."""


class RunEnded(OrionError):
    """A run ended without a value."""


class FailedRun(RunEnded):
    """A run failed and its exception is not available."""


class CrashedRun(RunEnded):
    """A run was ended by its environment, such as a lost process."""


class CancelledRun(RunEnded):
    """A run was cancelled."""


class PausedRun(RunEnded):
    """A run is paused and has no value yet."""


class UpstreamFailed(RunEnded):
    """A task, or a flow called in a flow, did not start, because one of its inputs did not complete.

    `cause` is the error of the input, if known.
    """

    def __init__(self, message: str, *, cause: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class UnfinishedRun(OrionError):
    """A run has not ended, so it has no value yet."""


class MissingResult(OrionError):
    """A run finished, but its value was not stored; persist results to read it from another process."""


class UntrustedResult(MissingResult):
    """The result of a state is in a place from which this program does not read."""


class StorageFailed(OrionError):
    """A value could not be stored. `reference` says where, `content` is the bytes to write."""

    def __init__(self, message: str, *, reference: dict[str, object], content: bytes) -> None:
        super().__init__(message)
        self.reference = reference
        self.content = content


class OrchestrationRefused(OrionError):
    """The rules refused a transition and the run must stop here."""


class TaskTimedOut(OrionError, TimeoutError):
    """A task ran longer than its `timeout_seconds`."""


class FlowTimedOut(OrionError, TimeoutError):
    """A flow ran longer than its `timeout_seconds`."""


class NoSlotInTime(OrionError, TimeoutError):
    """No slot of a global limit became free within `timeout_seconds`."""


class WorkerCrashed(OrionError):
    """The process that ran a task's function died."""


class CodeUnavailable(OrionError):
    """The code of a deployed flow cannot be fetched or loaded; the message says which part of it, and why."""


class ApiError(OrionError):
    """The API answered with an error, or did not answer."""

    def __init__(self, message: str, *, status: int | None = None, detail: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.retry_after = 0.0


class ApiUnreachable(ApiError):
    """The API did not answer, after all retries."""


class NotFound(ApiError):
    """The API does not know the object."""


class Conflict(ApiError):
    """The object exists already, or conflicts with another one."""


class InvalidRequest(ApiError):
    """A field of the request is invalid."""


class Overloaded(ApiError):
    """The API is overloaded; try again later."""


class NotAllowed(ApiError):
    """The credentials are missing or wrong, or do not allow this."""


class ServerFailed(ApiError):
    """The API failed on the request."""


class DatabaseNotReady(ApiError):
    """The database behind the in-process API is missing, unmigrated or damaged."""
