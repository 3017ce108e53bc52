"""How the rows of a list are found, and how runs are counted, without reading all runs.

Each module has one way. The tables in `pages` and `counts` say which is taken, and why it suits.
"""
