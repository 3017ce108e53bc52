"""Benchmarks of Orion: `make bench`, or `python -m benchmarks --help`. No test asserts their results."""
