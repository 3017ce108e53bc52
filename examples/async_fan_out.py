"""A thousand asynchronous tasks at once, on one event loop.

python examples/async_fan_out.py
"""

from __future__ import annotations

import asyncio
import time

from orionflow import flow, task


@task
async def square(number: int) -> int:
    await asyncio.sleep(0.01)
    return number * number


@flow(name="fan-out")
async def fan_out(width: int = 1000) -> int:
    return sum(await asyncio.gather(*[square(number) for number in range(width)]))


if __name__ == "__main__":
    started = time.perf_counter()
    print(f"sum of squares: {asyncio.run(fan_out())}, after {time.perf_counter() - started:.2f} s")
