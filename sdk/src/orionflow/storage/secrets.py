"""Values that a deployment refers to by name; they are looked up on the machine that fetches the code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orionflow.contract.masking import NAMES_A_SECRET, known, secrets_in
from orionflow.errors import ApiError, CodeUnavailable, UsageError

if TYPE_CHECKING:
    from orionflow.engine.effects import Steps

_MARK = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_VARIABLES = ("prefect.variables.", "orion.variables.")
_SECRETS = ("prefect.blocks.secret.", "orion.secrets.")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the server: `Secret.load("github").get()` reads it, `Secret(value="…").save("github")` stores one.

    - `name`: the name of the secret. `Secret("github")` only refers to it, as in `GitRepository(url,
      token=Secret("github"))`: it is read where the code is fetched.
    - `value`: a text, or anything that JSON can express. It is not shown in the `repr`, and masked in logs.
    """

    name: str | None = None
    value: Any = field(default=None, repr=False, kw_only=True)

    @property
    def reference(self) -> str:
        """The text by which a deployment refers to the secret. Raises `UsageError` without a name."""
        return f"{{{{ {_SECRETS[0]}{self._own_name()} }}}}"

    @classmethod
    def load(cls, name: str) -> Any:
        """Return the secret with its value. In coroutines, await it.

        - `name`: the name of the secret.

        Raises `NotFound` if there is none, and `NotAllowed` if this run or user may not read it.
        """
        from orionflow.engine.drivers import drive_or_await

        return drive_or_await(cls._loaded(name))

    def get(self) -> Any:
        """Return the value, after reading it if the secret was not loaded.

        Raises `NotFound` if there is none, and `NotAllowed` if this run or user may not read it.
        """
        if self.value is not None:
            return self.value
        from orionflow.engine.drivers import drive

        return drive(self._loaded(self._own_name())).value

    def save(self, name: str | None = None, overwrite: bool = False) -> Any:
        """Store the value on the server, sealed. In coroutines, await it.

        - `name`: the name to store it under; by default its own.
        - `overwrite`: with `True`, replace a secret of that name.

        Raises `Conflict` if the name is taken, and `UsageError` if there is no value or no name.
        """
        if self.value is None:
            raise UsageError("This secret has no value to save; write Secret(value=…).save(name).")
        from orionflow.engine.drivers import drive_or_await

        return drive_or_await(self._saved(name or self._own_name(), overwrite))

    def _own_name(self) -> str:
        if self.name is None:
            raise UsageError("This secret has no name; write Secret(name), or save it under one.")
        return self.name

    @classmethod
    def _loaded(cls, name: str) -> Steps[Secret]:
        from orionflow.engine.api import current_client
        from orionflow.storage.keeping import read_secret

        with current_client() as client:
            return cls(name, value=(yield from read_secret(client, name)))

    def _saved(self, name: str, overwrite: bool) -> Steps[None]:
        from orionflow.engine.api import current_client
        from orionflow.storage.keeping import save_secret

        with current_client() as client:
            yield from save_secret(client, name, self.value, overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class Environment:
    """A variable in the environment of the agent that fetches the code, such as `token=Environment("GITHUB_TOKEN")`.

    - `name`: the name of the variable.

    Raises `UsageError` if the name is not valid.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise UsageError(f"{self.name!r} is not the name of an environment variable.")

    @property
    def reference(self) -> str:
        return f"{{{{ ${self.name} }}}}"


def resolved(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Return a step's argument with every `{{ … }}` replaced, by outputs of earlier steps, environment or server."""
    match value:
        case str():
            return _resolved_text(value, outputs)
        case dict():
            return {key: resolved(inner, outputs) for key, inner in value.items()}
        case list():
            return [resolved(inner, outputs) for inner in value]
    return value


def _resolved_text(text: str, outputs: Mapping[str, Any]) -> Any:
    whole = _MARK.fullmatch(text.strip())
    if whole:
        return _looked_up(whole.group(1), outputs)
    return _MARK.sub(lambda mark: str(_looked_up(mark.group(1), outputs)), text)


def _looked_up(name: str, outputs: Mapping[str, Any]) -> Any:
    if name.startswith("$"):
        return _of_environment(name[1:])
    for prefix in _VARIABLES:
        if name.startswith(prefix):
            path = f"/variables/name/{quote(name.removeprefix(prefix), safe='')}"
            return _asked(path, f"The variable {name!r}")["value"]
    for prefix in _SECRETS:
        if name.startswith(prefix):
            return _secret(name.removeprefix(prefix))
    if name in outputs:
        return outputs[name]
    raise CodeUnavailable(
        f"A pull step refers to {name!r}, which is neither an output of an earlier step "
        f"({', '.join(outputs) or 'there is none'}) nor a variable, a secret or an environment variable ($NAME)."
    )


def _of_environment(name: str) -> str:
    try:
        value = os.environ[name]
    except KeyError:
        raise CodeUnavailable(
            f"The environment of this agent has no variable {name}, to which a pull step refers."
        ) from None
    if NAMES_A_SECRET.search(name):
        known.learn([value])
    return value


def _secret(name: str) -> Any:
    path = f"/block_types/slug/secret/block_documents/name/{quote(name, safe='')}"
    document = _asked(path, f"The secret {name!r}", include_secrets="true")
    known.learn(secrets_in(document["data"]["value"]))
    return document["data"]["value"]


def _asked(path: str, what: str, **params: str) -> Any:
    import json

    from orionflow.calls import Call
    from orionflow.client import OrionClient

    call: Call[bytes] = Call("GET", path, params=params or None, read=bytes)
    try:
        with OrionClient() as client:
            return json.loads(client.send(call))
    except ApiError as error:
        raise CodeUnavailable(f"{what}, to which a pull step refers, cannot be read: {error}") from error
