"""Calls of task functions that travel through a broker to task workers, for `CeleryTaskRunner`.

A message is a hint, here as everywhere: a flow's process **offers** a call by its id; a worker that is free asks for
it, and the flow's process **gives** it to the first one that asks. So an offer that comes twice runs nothing twice, and
one that is lost is made again. The worker says every few seconds that it is alive; one that falls silent is given up,
and the task run crashes, or is tried again if it has crash retries. Calls and outcomes are pickled, so both are sealed
with a key that only the flow's process and the workers know: nobody else who reaches the broker can have code run.
"""
