"""The files by which servers of one machine find each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orion_site.http.running_servers import Part, announced, running_servers


def test_a_server_is_found_however_many_look_for_servers_while_it_starts(tmp_path: Path):
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            running_servers(tmp_path)

    found = []
    with ThreadPoolExecutor(2) as others:
        for _ in range(2):
            others.submit(look)
        for _ in range(300):
            with announced(tmp_path, "127.0.0.1", 4200, "http://127.0.0.1:4200") as file:
                file.write(())
                found.append([server.address for server in running_servers(tmp_path)])
        done.set()

    assert found == [["http://127.0.0.1:4200"]] * 300


def test_a_server_is_found_while_it_writes_what_it_runs(tmp_path: Path):
    with announced(tmp_path, "127.0.0.1", 4200, "http://127.0.0.1:4200") as file:
        (path,) = tmp_path.rglob("*.json")
        file.write([Part("web", 1, 1)])
        whole = path.read_text()
        path.write_text(whole + whole[-10:])  # Between the write of a shorter text and its truncation.
        later = threading.Timer(0.05, path.write_text, [whole])
        later.start()

        found = running_servers(tmp_path)

        later.join()
        assert [[one.name for one in server.processes] for server in found] == [["web"]]
