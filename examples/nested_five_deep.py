"""Flows in flows, five deep: each level is a run of its own, and its parent shows it as one of its steps.

python examples/nested_five_deep.py
"""

from __future__ import annotations

from orionflow import flow, task


@task
def leaf(path: str) -> str:
    return path


@flow(name="branch", flow_run_name="branch-{path}")
def branch(depth: int, path: str = "0") -> list[str]:
    if depth == 1:
        return [leaf(f"{path}.{side}") for side in range(2)]
    return [end for side in range(2) for end in branch(depth - 1, f"{path}.{side}")]


if __name__ == "__main__":
    ends = branch(5)
    print(f"{len(ends)} leaves, from {ends[0]} to {ends[-1]}")
