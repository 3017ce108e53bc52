"""How fast Orion is, measured: `make bench`, or `python -m benchmarks --help`. Nothing here is asserted in tests."""
