"""Calls of task functions that are sent through a broker to task workers, for `CeleryTaskRunner`.

A message is only a hint: a flow's process **offers** a call by its id, a free worker asks for it, and the flow's
process **gives** it to the first worker that asks. So an offer that arrives twice runs nothing twice, and a lost offer
is repeated. The worker reports every few seconds that it is alive. If it is silent for too long, it is given up, and
the task run crashes or is tried again if it has crash retries. Calls and outcomes are pickled, so both are sealed with
a key that only the flow's process and the workers know: other users of the broker cannot make them run code.
"""
