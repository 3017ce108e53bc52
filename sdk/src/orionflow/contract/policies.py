"""The policies that authors set for their runs, as used by server and SDK."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

RetryType = Literal["in_process", "reschedule"]
OverlapScope = Literal["flow", "deployment"]


class Overlap(StrEnum):
    """The choices for a flow run that enters RUNNING while another run of its flow (or deployment) is running."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_NEW = "cancel_new"
    CANCEL_OLD = "cancel_old"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """The policy of a run: the author's settings, and from `pause_keys` on the memory of the rules between transitions.

    Delays are in seconds; `retry_delay` is one number, or one per retry, of which the last one repeats.
    """

    retries: int | None = None
    retry_delay: float | tuple[float, ...] | None = None
    retry_backoff_factor: float | None = None
    retry_delay_max: float | None = None
    retry_jitter_factor: float | None = None
    crash_retries: int = 0
    crash_count: int = 0
    # Starts that agents ended because they could not reach the API; they count neither as failures nor as crashes.
    handovers: int = 0
    # Crashes and handovers before RUNNING, which `run_count` does not include.
    unstarted: int = 0
    # Starts after a pause within the process: `run_count` includes them, although the attempt continues.
    resumes: int = 0
    overlap: Overlap = Overlap.ALLOW
    overlap_scope: OverlapScope = "flow"
    pause_keys: frozenset[str] = frozenset()
    resuming: bool = False
    retry_type: RetryType | None = None
    # Some of its results were invalidated: an attempt asks the API which ones it may reuse.
    retried_from_task: bool = False
