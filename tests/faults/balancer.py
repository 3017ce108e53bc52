"""One address for several servers on this machine, as behind a load balancer: connections go to one that answers."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class Balancer:
    """Forwards each connection to one of the ports `targets`. While none answers, connections are refused."""

    def __init__(self, targets: Sequence[int]) -> None:
        self._targets = list(targets)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def leave_out(self, target: int) -> None:
        """Give it no further connections, as before a server is stopped."""
        self._targets.remove(target)

    def take_in(self, target: int) -> None:
        self._targets.append(target)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            # Only when the balancer ends, and asyncio would tell of that as of an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in random.sample(self._targets, len(self._targets)):
            try:
                there, back = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                continue
            try:
                # When one side has gone, so has the exchange.
                both = [asyncio.ensure_future(_pump(reader, back)), asyncio.ensure_future(_pump(there, writer))]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in both:
                    one.cancel()
                back.transport.abort()
            return


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await source.read(1 << 16):
            sink.write(part)
            await sink.drain()


@contextmanager
def running_balancer(targets: Sequence[int]) -> Iterator[Balancer]:
    balancer = Balancer(targets)
    try:
        yield balancer
    finally:
        balancer.close()
