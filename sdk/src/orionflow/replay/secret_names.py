"""Secrets in packed content: those that the profile knows are replaced by their names, others by a description.

Known secrets are secret blocks that this user may read, variables and environment variables whose names suggest a
secret, keys in the settings, and secrets that this process has learned. Other credentials are recognized by their form.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orionflow.contract.credentials import KEY_BEGINS, LOCAL_TOKEN_BEGINS, RUN_TOKEN_BEGINS
from orionflow.contract.masking import (
    FREE_WHEN_SHOWN,
    NAMES_A_SECRET,
    SHORTEST_WITHIN,
    forms_of,
    known,
    secrets_in,
)

if TYPE_CHECKING:
    from orionflow.cli.backend import Backend

# Names and passwords in addresses, and the forms of well-known keys and tokens.
_LOOKS: tuple[tuple[str, str], ...] = (
    ("password of an address", r"(?<=://)[^/\s:@\"'<>\\]*:[^/\s@\"'<>\\]+(?=@)"),
    ("token of an address", r"(?<=://)[A-Za-z0-9_.~-]{16,200}(?=@)"),
    ("private key", r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"),
    ("key of Orion", rf"\b(?:{KEY_BEGINS}|{RUN_TOKEN_BEGINS}|{LOCAL_TOKEN_BEGINS})[A-Za-z0-9_.-]{{8,}}"),
    ("key of AWS", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("token of GitHub", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    ("token of GitLab", r"\bglpat-[A-Za-z0-9_-]{16,}"),
    ("token of Slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("key of an API", r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9]{20,}"),
    ("token", r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]*"),
    ("token", r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}"),
)
_NAMED = r"(?i:pass(?:word|wd|phrase)|secret|token|credential|api[_-]?key|private[_-]?key|authorization|cookie)"
_NAME = rf"\b[\w.-]{{0,40}}{_NAMED}[\w-]{{0,40}}[\"']?"
# In free text: `password=hunter22`, `token: "…"`.
_NAMED_VALUE = re.compile(rf"({_NAME}\s{{0,8}}[=:]\s{{0,8}})([\"']?)([^\s\"',;&)}}\]]{{{SHORTEST_WITHIN},}})")
# In code only a literal can be a secret: whatever else is assigned to such a name is an expression.
_TYPE = r"(?::[ \t]{0,8}\w{1,40}[ \t]{0,8})?"
_WRITTEN = re.compile(rf"({_NAME}\]?[ \t]{{0,8}}{_TYPE}[=:][ \t]{{0,8}})([\"'])([^\"'\n]{{{SHORTEST_WITHIN},}})\2")
# The literals and comments of a line; the rest is code, in which names are assigned other names.
_LITERAL = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*")
# Bytes of a compressed result that are searched.
_MOST_UNPACKED = 256 * 1024 * 1024


class SecretNames:
    """Replaces secrets by their names in texts and JSON, and finds them in bytes."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        # Short and common values, which are replaced only if they are the whole text.
        self._whole: dict[str, str] = {}
        self._longest_first: list[tuple[str, str]] = []
        self._looks = [(f"[{what}]", re.compile(look)) for what, look in _LOOKS]
        self._bytes = [(what, re.compile(look.encode())) for what, look in _LOOKS]
        self.found: set[str] = set()

    def learn(self, values: Mapping[str, str]) -> None:
        """Remember these values with their names."""
        for name, value in values.items():
            forms = forms_of(value)
            for one in forms.within:
                self._names.setdefault(one, name)
            for one in forms.alone:
                self._whole.setdefault(one, name)
        # The longest first, as a part of a secret may be a secret as well.
        self._longest_first = sorted(self._names.items(), key=lambda pair: (-len(pair[0]), pair[0]))

    def text(self, text: str) -> str:
        """Return the text with secrets replaced by their names."""
        for value, name in self._longest_first:
            if value in text:
                text = text.replace(value, f"[secret {name}]")
                self.found.add(name)
        text = known.masked_value(text)
        for name, look in self._looks:
            text = look.sub(name, text)
        return text

    def prose(self, text: str) -> str:
        """Return the text of a message or a log line, where a word before a value may also mark it as a secret."""
        return _NAMED_VALUE.sub(lambda one: f"{one[1]}{one[2]}{_kept(one[3])}", self.text(text))

    def user_text(self, text: str) -> str:
        """Return a user's text, which may as a whole be a secret that is too common to search for within text."""
        if name := self._whole.get(text.strip()):
            self.found.add(name)
            return f"[secret {name}]"
        return known.masked(self.prose(text))

    def code(self, text: str) -> str:
        """Return the text of code without literals that are assigned to names of secrets, even within strings."""
        named = _WRITTEN.sub(lambda one: f"{one[1]}{one[2]}{_kept(one[3])}{one[2]}", self.text(text))
        return _LITERAL.sub(lambda one: self.prose(one[0]), named)

    def json(self, value: Any, name: str = "", *, is_user_text: bool = False) -> Any:
        """Return JSON with secrets replaced by their names; a field with the name of a secret is a secret."""
        is_secret = bool(name and NAMES_A_SECRET.search(name))
        # The fields of a reference are looked up, so they stay.
        is_reference = isinstance(value, dict) and value.get("type") == "reference"
        is_user_text = is_user_text or (name in FREE_WHEN_SHOWN and not is_reference)
        match value:
            case str():
                if is_secret and value:
                    return f"[secret {name}]"
                return self.user_text(value) if is_user_text else self.prose(value)
            case bool() | None:
                return value
            case int() | float() if is_secret and abs(value) >= 10_000:
                return f"[secret {name}]"
            case dict():
                return {
                    self.text(str(key)): self.json(inner, name if is_secret else str(key), is_user_text=is_user_text)
                    for key, inner in value.items()
                }
            case list():
                return [self.json(inner, name if is_secret else "", is_user_text=is_user_text) for inner in value]
        return value

    def in_bytes(self, content: bytes, serializer: str) -> str | None:
        """Return the name of a secret in the bytes of a result, even if compressed; None if none was found."""
        if serializer.startswith("compressed/"):
            try:
                content = zlib.decompressobj().decompress(content, _MOST_UNPACKED)
            except zlib.error:
                return "what cannot be unpacked"
        for value, name in self._longest_first:
            if value.encode("utf-8", "replace") in content:
                return f"the secret {name}"
        if whole := self._whole.get(content.decode("utf-8", "replace").strip("\"' \r\n\t")):
            return f"the secret {whole}"
        if known and known.masked_bytes(content) != content:
            return "a secret"
        return next((f"a {what}" for what, look in self._bytes if look.search(content)), None) or _named_in(content)


def _kept(value: str) -> str:
    # Placeholders are not secrets: `password={password}`, `token=%s`, `secret=$SECRET`.
    return value if value.startswith(("[", "{", "%", "$", "<")) else "[secret]"


def _named_in(content: bytes) -> str | None:
    """Find a field with the name of a secret in bytes that are JSON."""
    if content[:1] not in (b"{", b"["):
        return None
    try:
        return next((f"the field {name!r}" for name in _secret_fields(json.loads(content))), None)
    except (ValueError, RecursionError):
        return None


def _secret_fields(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                if isinstance(inner, str) and inner and NAMES_A_SECRET.search(name):
                    yield name
                yield from _secret_fields(inner)
        case list():
            for inner in value:
                yield from _secret_fields(inner)


def names_of_profile(api: Backend) -> SecretNames:
    """Collect the secrets that this profile and this process know by name."""
    names = SecretNames()
    names.learn(dict(_of_environment()))
    names.learn(dict(_of_settings()))
    names.learn(dict(_of_blocks(api)))
    names.learn(dict(_of_variables(api)))
    return names


def _of_environment() -> Iterable[tuple[str, str]]:
    return ((f"${name}", value) for name, value in os.environ.items() if NAMES_A_SECRET.search(name))


def _of_settings() -> Iterator[tuple[str, str]]:
    from orionflow.settings import current_settings, settings_table

    settings = current_settings()
    for one in settings_table():
        value = getattr(settings, one.name)
        if one.metadata["secret"] and isinstance(value, str):
            yield one.name, value


def _of_blocks(api: Backend) -> Iterator[tuple[str, str]]:
    """Yield the secrets of blocks. A user who may not read them gets masks instead."""
    from orionflow.calls.blocks import BLOCKS
    from orionflow.errors import ApiError

    try:
        masked = list(api.pages(BLOCKS, {"include_secrets": False}, None))
        opened = list(api.pages(BLOCKS, {"include_secrets": True}, None))
    except ApiError:
        return
    shown = {one["id"]: one["data"] for one in masked}
    for one in opened:
        title = f"{(one.get('block_type') or {}).get('slug') or 'block'}/{one['name']}"
        for path, value in _differences(one["data"], shown.get(one["id"])):
            yield f"{title}{path if one.get('block_type', {}).get('slug') != 'secret' else ''}", value


def _differences(opened: Any, masked: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts in the first value that are masked in the second."""
    if isinstance(opened, dict) and isinstance(masked, dict):
        for name, inner in opened.items():
            yield from _differences(inner, masked.get(name), f"{path}.{name}")
    elif opened != masked:
        for number, text in enumerate(secrets_in(opened)):
            yield f"{path}{f'.{number}' if number else ''}", text


def _of_variables(api: Backend) -> Iterator[tuple[str, str]]:
    from orionflow.calls.variables import VARIABLES
    from orionflow.errors import ApiError

    try:
        found = list(api.pages(VARIABLES, {}, None))
    except ApiError:
        return
    for one in found:
        if NAMES_A_SECRET.search(one["name"]):
            for text in secrets_in(one["value"]):
                yield f"variable {one['name']}", text
