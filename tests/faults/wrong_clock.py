"""Programs whose clock is wrong: what they ask the system for the time of day is answered with an offset.

Only the time of day is, as on a machine whose clock is wrong. libfaketime changes all clocks, also those that programs
wait by, and Python's waits do not survive it. A program sets its clock by calling `move_clock` in the library.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import warm

SOURCE = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long moved = 0;

void move_clock(long seconds) {
    moved += seconds;
}

static long offset(void) {
    const char *told = getenv("CLOCK_OFFSET_SECONDS");
    return moved + (told ? atol(told) : 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where)
        *where = exact.tv_sec;
    return exact.tv_sec;
}
"""


def wrong_by(seconds: int, folder: Path) -> dict[str, str]:
    """The environment of a program whose clock is ahead by as much, or behind."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a wrong clock is made by a few lines of C, and there is no compiler here")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(SOURCE)
    made = warm.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a wrong clock cannot be made on this system: {made.stderr.strip()[:300]}")
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET_SECONDS": str(seconds)}
