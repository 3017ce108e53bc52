"""The policies that authors set for their runs, as server and SDK know them."""

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
    """The policy of a run: its author's wishes, and what the rules remember between transitions (`pause_keys` on).

    Delays are seconds; `retry_delay` is one number or one per retry, and the last one repeats.
    """

    retries: int | None = None
    retry_delay: float | tuple[float, ...] | None = None
    retry_backoff_factor: float | None = None
    retry_delay_max: float | None = None
    retry_jitter_factor: float | None = None
    crash_retries: int = 0
    crash_count: int = 0
    # Starts that agents ended because they could not reach the API: neither failures nor crashes.
    handovers: int = 0
    # Crashes and handovers before RUNNING, for which `run_count` has no start.
    unstarted: int = 0
    # Starts after a pause in its process: `run_count` has them, though the attempt goes on.
    resumes: int = 0
    overlap: Overlap = Overlap.ALLOW
    overlap_scope: OverlapScope = "flow"
    pause_keys: frozenset[str] = frozenset()
    resuming: bool = False
    retry_type: RetryType | None = None
    # Some of its results were set aside: an attempt asks which ones it may take up.
    retried_from_task: bool = False
