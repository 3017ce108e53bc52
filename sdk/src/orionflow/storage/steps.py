"""Pull steps, which an agent executes to fetch a deployment's code. Prefect's names are accepted as well."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orionflow.errors import CodeUnavailable
from orionflow.storage.commands import current_bounds, run_command
from orionflow.storage.git import clone, shown
from orionflow.storage.remote import copy_here
from orionflow.storage.safe_paths import existing_folder, inside
from orionflow.storage.secrets import resolved

# Keys of a step in addition to its arguments.
_RESERVED = ("id", "requires")
Output = dict[str, Any]


class Pull:
    """The steps of one deployment, executed in a folder that belongs to one run."""

    def __init__(self, into: Path, seconds: float | None = None) -> None:
        self.into = into
        self.folder = into
        self.bounds = current_bounds(seconds)
        self.outputs: dict[str, Any] = {}

    def do(self, step: Mapping[str, Any]) -> None:
        """Execute one step; later steps can use its outputs."""
        name, arguments = _read_step(step)
        action = STEPS.get(_short(name))
        if action is None:
            raise CodeUnavailable(f"There is no pull step {name!r}; known are {', '.join(sorted(STEPS))}.")
        given = {key: value for key, value in arguments.items() if key not in _RESERVED}
        try:
            output = action(self, **resolved(given, self.outputs))
        except TypeError as error:
            raise CodeUnavailable(f"The pull step {name!r} does not take these arguments: {error}.") from error
        self._remember(arguments.get("id"), _short(name), output)

    def _remember(self, id: str | None, name: str, output: Output) -> None:
        for key in filter(None, (id, name.replace("_", "-"))):
            self.outputs |= {f"{key}.{field}": value for field, value in output.items()}

    def set_working_directory(self, directory: str) -> Output:
        self.folder = existing_folder(self.folder / Path(directory).expanduser(), "The folder")
        return {"directory": str(self.folder)}

    def git_clone(
        self,
        repository: str,
        branch: str | None = None,
        commit: str | None = None,
        commit_sha: str | None = None,
        include_submodules: bool = False,
        access_token: str | None = None,
        username: str | None = None,
        directory: str | None = None,
        credentials: Mapping[str, Any] | None = None,
    ) -> Output:
        target = self._fresh(_name_of(repository))
        clone(
            repository,
            target,
            self.bounds,
            branch=branch,
            commit=commit or commit_sha,
            token=access_token or _token(credentials),
            username=username or (credentials or {}).get("username"),
            submodules=include_submodules,
        )
        self.folder = inside(target, directory, "The folder")
        return {"directory": str(self.folder)}

    def pull_from_remote_storage(self, url: str, directory: str | None = None, **options: Any) -> Output:
        target = self._fresh(_name_of(url))
        target.mkdir(parents=True)
        copy_here(url, target, self.bounds, options)
        self.folder = inside(target, directory, "The folder")
        return {"directory": str(self.folder)}

    def pull_from_s3(self, bucket: str, folder: str, **options: Any) -> Output:
        return self.pull_from_remote_storage(f"s3://{bucket}/{folder}", **options)

    def pull_from_gcs(self, bucket: str, folder: str, **options: Any) -> Output:
        return self.pull_from_remote_storage(f"gs://{bucket}/{folder}", **options)

    def pull_from_azure_blob_storage(self, container: str, folder: str, **options: Any) -> Output:
        return self.pull_from_remote_storage(f"az://{container}/{folder}", **options)

    def run_shell_script(
        self,
        script: str,
        directory: str | None = None,
        env: Mapping[str, str] | None = None,
        stream_output: bool = True,
        expand_env_vars: bool = False,
    ) -> Output:
        """Run each line of a script as a program with arguments, as Prefect does; use `sh -c '…'` for a shell."""
        folder = self.folder if directory is None else existing_folder(self.folder / directory, "The folder")
        lines = [line for line in script.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        printed = [self._line(line, folder, env or {}, expand_env_vars) for line in lines]
        return {"stdout": "\n".join(filter(None, printed)), "stderr": ""}

    def _line(self, line: str, folder: Path, env: Mapping[str, str], expand: bool) -> str:
        import os

        words = _words(os.path.expandvars(line) if expand else line)
        environment = {name: str(value) for name, value in env.items()}
        return run_command(
            words, title=f"The script line {line!r}", bounds=self.bounds, folder=folder, environment=environment
        )

    def _fresh(self, name: str) -> Path:
        """Return a new folder, with a name that explains it in tracebacks."""
        target, count = self.into / name, 1
        while target.exists():
            count += 1
            target = self.into / f"{name}-{count}"
        return target


STEPS: dict[str, Callable[..., Output]] = {
    name: getattr(Pull, name)
    for name in (
        "set_working_directory",
        "git_clone",
        "run_shell_script",
        "pull_from_remote_storage",
        "pull_from_s3",
        "pull_from_gcs",
        "pull_from_azure_blob_storage",
    )
}


def _read_step(step: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if len(step) != 1:
        raise CodeUnavailable(f"A pull step is one name with its arguments, not {dict(step)!r}.")
    name, arguments = next(iter(step.items()))
    if not isinstance(arguments, Mapping | None):
        raise CodeUnavailable(f"The arguments of the pull step {name!r} are names with values, not {arguments!r}.")
    return name, arguments or {}


def _short(name: str) -> str:
    """Return the short name: `prefect.deployments.steps.git_clone` and `orionflow.storage.git_clone` are equal."""
    short = name.rpartition(".")[2]
    return "git_clone" if short == "git_clone_project" else short


def _name_of(url: str) -> str:
    path = urlsplit(shown(url)).path if "://" in url else url.rpartition(":")[2]
    name = path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    kept = "".join(char for char in name if char.isalnum() or char in "._-").strip(".-")
    return kept or "code"


def _token(credentials: Mapping[str, Any] | None) -> str | None:
    found = (
        (credentials or {}).get("access_token")
        or (credentials or {}).get("token")
        or (credentials or {}).get("password")
    )
    return str(found) if found else None


def _words(line: str) -> Sequence[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise CodeUnavailable(f"The script line {line!r} cannot be read: {error}.") from None
