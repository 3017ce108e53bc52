"""`orion result`: values that runs returned, if they were stored."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

result = LazyGroup(
    "result",
    __name__,
    help="Stored results of runs: pickles are sealed with the key of this installation, and read only by who has it.",
    entries={
        "ls": Entry("List stored results with size, format and expiry.", ".listing"),
        "get": Entry("Print a result, or write its bytes to a file.", ".reading"),
        "purge": Entry("Delete results that have expired.", ".purging"),
        "location": Entry("Named locations of results: folders, buckets.", ".location"),
        "seal": Entry("Seal pickles that were stored without a seal.", ".sealing"),
    },
    examples=(
        ("orion result ls --run @last", "what did it store, and where?"),
        ("orion result get @last", "print what the flow returned"),
        ("orion result location add lake s3://bucket/results", ""),
    ),
)
