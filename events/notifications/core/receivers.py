"""The kinds of block as receivers of text: how much one message may hold, and what must not be taken for a command.

A name of a run is written by whoever starts it. In a message it is text: it calls nobody together and links nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

Escape = Callable[[str], str]

LONGEST_SUBJECT = 250
SHORT_FORM = 200
# Half an escaped character, where a text was cut.
_HALF = re.compile(r"&[a-z]{0,4}$")


@dataclass(frozen=True, slots=True)
class Message:
    """A text for people, or a payload: the whole content of the request, as its author wrote it."""

    id: str
    subject: str
    body: str
    is_payload: bool = False
    # Where the whole story is shown.
    link: str = ""

    @property
    def short(self) -> Message:
        """The message for a receiver that did not take the whole one: its first line and where the rest is."""
        first = next((line for line in self.body.splitlines() if line.strip()), "")
        said = _cut(first, SHORT_FORM)
        return replace(self, subject=_cut(self.subject, 100), body="\n".join(filter(None, (said, self.link))))


@dataclass(frozen=True, slots=True)
class Receiver:
    """One kind of block. `longest` is in bytes, which are never fewer than characters."""

    longest: int
    escape: Escape


def _plain(text: str) -> str:
    return text


def _of_slack(text: str) -> str:
    """Slack reads `<!channel>`, `<@U1>` and `<address|words>`; these three characters make text of them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_mentions(text: str) -> str:
    """A space without width after each `@`: `@everyone` and `<@1>` are read, and call nobody."""
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
    """How a value is written into a text for blocks of this kind."""
    return RECEIVERS.get(kind, ANY).escape


def fitted(kind: str, message: Message) -> Message:
    """The message as long as its receiver takes it; what is cut ends with where the whole of it is."""
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
