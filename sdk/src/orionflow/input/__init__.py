"""Input for flow runs from outside: answers that a pause waits for, and values sent to running flows."""

from __future__ import annotations

from orionflow.input.models import Metadata, RunInput
from orionflow.input.passing import Received, Receiver, receive_input, send_input

__all__ = ["Metadata", "Received", "Receiver", "RunInput", "receive_input", "send_input"]
