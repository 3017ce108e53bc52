"""Differences between two runs as a whole, in the order of their weight: code, packages, parameters, then the rest."""

from __future__ import annotations

from collections.abc import Iterator

from runs.comparing.core.compared import ComparedRun, Difference, Environment
from runs.comparing.core.parameters import changed_parameters
from runs.comparing.core.usual import Usual, differs
from runs.periods import period_text

# Attributes of runs that are compared as texts, with their labels.
FACTS = (
    ("deployment_version", "deployment version"),
    ("deployment", "deployment"),
    ("queue", "work queue"),
    ("agent", "agent"),
    ("host", "host"),
)
SHORT_COMMIT = 7


def differences_of(before: ComparedRun, after: ComparedRun, usual: Usual) -> list[Difference]:
    """Return all facts that differ between the runs themselves, without their tasks."""
    return [
        *_code(before, after),
        *_environments(before.environment, after.environment),
        *(
            Difference("parameter", name, old, new)
            for name, old, new in changed_parameters(before.parameters, after.parameters)
        ),
        *_facts(before, after),
        *_durations(before, after, usual),
    ]


def _code(before: ComparedRun, after: ComparedRun) -> Iterator[Difference]:
    if before.flow != after.flow:
        yield Difference("flow", "flow", before.flow, after.flow)
    if before.flow_version != after.flow_version:
        yield Difference("version", "flow version", _cut(before.flow_version), _cut(after.flow_version))
    old, new = before.environment, after.environment
    if old is None or new is None:
        return
    if old.commit != new.commit:
        yield Difference("commit", "commit", old.commit[:SHORT_COMMIT], new.commit[:SHORT_COMMIT])
    elif old.files != new.files:
        note = "of the same commit" if old.commit else ""
        yield Difference("files", "files of the code", old.files[:SHORT_COMMIT], new.files[:SHORT_COMMIT], note)


def _environments(before: Environment | None, after: Environment | None) -> Iterator[Difference]:
    if before is None or after is None:
        return
    for subject in ("python", "platform"):
        old, new = getattr(before, subject), getattr(after, subject)
        if old != new:
            yield Difference(subject, "Python" if subject == "python" else subject, old, new)
    for name in sorted({*before.packages, *after.packages}):
        old, new = before.packages.get(name, ""), after.packages.get(name, "")
        if old != new:
            yield Difference("package", name, old, new)


def _facts(before: ComparedRun, after: ComparedRun) -> Iterator[Difference]:
    for attribute, words in FACTS:
        old, new = getattr(before, attribute), getattr(after, attribute)
        if old != new:
            yield Difference(attribute, words, _cut(old), _cut(new))
    if set(before.tags) != set(after.tags):
        yield Difference("tags", "tags", ", ".join(sorted(before.tags)), ", ".join(sorted(after.tags)))
    if before.attempts != after.attempts and before.attempts and after.attempts:
        yield Difference("attempts", "attempts", str(before.attempts), str(after.attempts))


def _durations(before: ComparedRun, after: ComparedRun, usual: Usual) -> Iterator[Difference]:
    if before.seconds is None or after.seconds is None or not differs(before.seconds, after.seconds, usual):
        return
    old, new = period_text(before.seconds), period_text(after.seconds)
    yield Difference("duration", "time running", old, new, usual.note(after.seconds))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
