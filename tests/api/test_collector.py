"""The collector is off for the length of a block, and never longer."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest

from orchestration.collector import collection_put_off


def test_it_is_off_inside_and_on_afterwards():
    with collection_put_off():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_it_is_on_after_a_failure():
    with pytest.raises(ZeroDivisionError), collection_put_off():
        _ = 1 / 0

    assert gc.isenabled()


def test_a_collector_that_the_program_disabled_stays_disabled():
    gc.disable()
    try:
        with collection_put_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_blocks_that_overlap_do_not_add_up():
    inside, over = threading.Event(), threading.Event()

    def second() -> None:
        with collection_put_off():
            inside.set()
            over.wait(10)

    thread = threading.Thread(target=second)
    with collection_put_off():
        thread.start()
        assert inside.wait(10)
    try:
        assert gc.isenabled()
    finally:
        over.set()
        thread.join()

    assert gc.isenabled()
    with collection_put_off():
        assert not gc.isenabled()


def test_a_process_that_is_forked_inside_collects():
    read, write = os.pipe()
    with collection_put_off():
        if not (child := os.fork()):
            collects = gc.isenabled()
            with collection_put_off():
                pauses = not gc.isenabled()
            os.write(write, bytes([collects, pauses]))
            os._exit(0)
        os.waitpid(child, 0)

    assert os.read(read, 2) == bytes([True, True])


SETTLING = """
import gc
from orchestration.collector import settle

kept = [[] for _ in range(500)]
settle()
old = {id(one) for one in gc.get_objects(generation=2)}
print(gc.get_freeze_count(), all(id(one) in old for one in kept))

gc.freeze()
frozen = gc.get_freeze_count()
settle()
print(gc.get_freeze_count() == frozen)
"""


def test_objects_are_old_once_they_have_settled_unless_the_program_froze_its_own():
    # In a process of its own, because the processes of tests freeze what they have loaded.
    shown = subprocess.run([sys.executable, "-c", SETTLING], capture_output=True, text=True, check=True)

    assert shown.stdout.split() == ["0", "True", "True"]
