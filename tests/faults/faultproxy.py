"""A TCP proxy between clients and a server on this machine, which can hold, break and delay connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class FaultProxy:
    """Forwards TCP to the port `target`. Its event loop runs in a thread; calls return when they have taken effect."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.latency_seconds = 0.0
        self._passes = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._wait_for(self._listen())

    def partition(self) -> None:
        """Let nothing pass, either way. Connections stay open, and what is sent arrives after `heal`."""
        self._wait_for(self._let_pass(False))

    def heal(self) -> None:
        self._wait_for(self._let_pass(True))

    def reset(self) -> None:
        """Break every open connection."""
        self._wait_for(self._tear())

    def close(self) -> None:
        self._wait_for(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._passes.set()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _let_pass(self, is_whole: bool) -> None:
        (self._passes.set if is_whole else self._passes.clear)()

    async def _tear(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._tear()
        work = asyncio.all_tasks() - {asyncio.current_task()}
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._writers.add(writer)
        try:
            await self._passes.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(back)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            # Cancelled only when the whole proxy ends, and asyncio would tell of that as of an error.
            writer.transport.abort()
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while part := await source.read(1 << 16):
            await asyncio.sleep(self.latency_seconds)
            await self._passes.wait()
            sink.write(part)
            await sink.drain()
        await self._passes.wait()
        with suppress(OSError):
            sink.write_eof()


@contextmanager
def fault_proxy(target: int) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
