"""The types of blocks as receivers of text: the maximum length of a message, and the escaping of commands.

Names of runs are chosen by the users who start them. In a message they are plain text, without mentions or links.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

Escape = Callable[[str], str]

LONGEST_SUBJECT = 250
SHORT_FORM = 200
# An escaped character that was cut in half.
_HALF = re.compile(r"&[a-z]{0,4}$")


@dataclass(frozen=True, slots=True)
class Message:
    """A text for users, or a payload: the whole content of the request, as its author wrote it."""

    id: str
    subject: str
    body: str
    is_payload: bool = False
    # The page with the details.
    link: str = ""

    @property
    def short(self) -> Message:
        """Return a short form for a receiver that rejected the whole message: its first line and the link."""
        first = next((line for line in self.body.splitlines() if line.strip()), "")
        summary = _cut(first, SHORT_FORM)
        return replace(self, subject=_cut(self.subject, 100), body="\n".join(filter(None, (summary, self.link))))


@dataclass(frozen=True, slots=True)
class Receiver:
    """One type of block. `longest` is in bytes, which are at least as many as characters."""

    longest: int
    escape: Escape


def _plain(text: str) -> str:
    return text


def _of_slack(text: str) -> str:
    """Escape the three characters by which Slack recognises `<!channel>`, `<@U1>` and `<address|words>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_mentions(text: str) -> str:
    """Add a zero-width space after each `@`, so that `@everyone` and `<@1>` are shown but mention no one."""
    return text.replace("@", "@\u200b")


RECEIVERS = {
    "slack-webhook": Receiver(3_500, _of_slack),
    "ms-teams-webhook": Receiver(18_000, _plain),
    "discord-webhook": Receiver(1_700, _without_mentions),
    "mattermost-webhook": Receiver(12_000, _without_mentions),
    "opsgenie-webhook": Receiver(14_000, _plain),
    "pager-duty-webhook": Receiver(20_000, _plain),
    "sendgrid-email": Receiver(100_000, _plain),
    "webhook": Receiver(100_000, _plain),
    "custom-webhook": Receiver(10_000, _plain),
}
ANY = Receiver(10_000, _plain)


def escape_for(kind: str) -> Escape:
    """Return the function that escapes values in texts for blocks of this type."""
    return RECEIVERS.get(kind, ANY).escape


def fitted(kind: str, message: Message) -> Message:
    """Return the message at the length that its receiver accepts. A truncated body ends with the link."""
    if message.is_payload:
        return message
    longest = RECEIVERS.get(kind, ANY).longest
    subject = _cut(message.subject, LONGEST_SUBJECT)
    if len(message.body.encode(errors="replace")) <= longest:
        return replace(message, subject=subject)
    end = f"\n(cut)\n{message.link}" if message.link else "\n(cut)"
    return replace(message, subject=subject, body=_cut(message.body, longest - len(end.encode())) + end)


def _cut(text: str, most_bytes: int) -> str:
    content = text.encode(errors="replace")
    if len(content) <= most_bytes:
        return text
    kept = content[: most_bytes - len("…".encode())].decode(errors="ignore")
    return _HALF.sub("", kept) + "…"
