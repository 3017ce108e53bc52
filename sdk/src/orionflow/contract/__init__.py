"""The contract of SDK and server: the values that cross the wire, written once.

The bottom layer of the SDK and all that the server may import of it. Nothing here does I/O or imports another part of
the SDK; modules that build pydantic models are imported where they are needed, never by `from orionflow import flow`.
"""
