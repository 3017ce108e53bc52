"""The dispatch protocol under seeded misfortune.

`world` has agents, a broker, a clock and bad luck, and drives a server through the calls of
docs/explanation/dispatch.md. `model` is such a server in a few lines, fast enough for thousands of seeds, into
which faults can be planted; `services` is the real one,
on a database. Whatever goes wrong names the seed that shows it again.
"""
