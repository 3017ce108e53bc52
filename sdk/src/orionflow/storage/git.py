"""Cloning of Git repositories, with protection against side effects of their addresses and content.

Addresses and names are validated and passed after `--`. Transports that run programs are disabled. Git never prompts
for a password. A token is passed in the environment and never stored.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from orionflow.errors import CodeUnavailable
from orionflow.storage.commands import BeyondBounds, Bounds, run_command

_SCHEMES = ("https", "http", "ssh", "git", "file")
_SSH = re.compile(r"^[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:(?!:)[^\s-]\S*$")
_BRANCH = re.compile(r"^[A-Za-z0-9_][\w./+#@-]*$")
_COMMIT = re.compile(r"^[0-9a-fA-F]{7,64}$")
_HELPER = re.compile(r"^\w+::")


def clone(
    url: str,
    target: Path,
    bounds: Bounds,
    *,
    branch: str | None = None,
    commit: str | None = None,
    token: str | None = None,
    username: str | None = None,
    submodules: bool = False,
) -> None:
    """Clone one commit of a repository, without its history, into a new folder."""
    plain, token, username = _split_credentials(checked_url(url), token, username)
    environment = _environment(plain, token, username, bounds)
    title = f"Cloning {shown(plain)}"
    quiet = [
        "git",
        "-c",
        # No hooks, which the settings of this user or of the machine may name.
        "core.hooksPath=/dev/null",
        "-c",
        "protocol.ext.allow=never",
        "-c",
        "advice.detachedHead=false",
    ]
    if commit is None:
        wanted = [] if branch is None else [f"--branch={checked_branch(branch)}"]
        words = [*quiet, "clone", "--quiet", "--template=", "--depth=1", "--no-tags", *wanted, "--", plain, str(target)]
        run_command(words, title=title, bounds=bounds, environment=environment, watched=target)
    else:
        _clone_commit(quiet, plain, target, checked_commit(commit), title, bounds, environment)
    if submodules:
        words = [*quiet, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"]
        run_command(
            words, title=f"{title} (submodules)", bounds=bounds, environment=environment, folder=target, watched=target
        )


def _clone_commit(
    quiet: list[str],
    url: str,
    target: Path,
    commit: str,
    title: str,
    bounds: Bounds,
    environment: Mapping[str, str],
) -> None:
    def git(*words: str, where: Path | None = target) -> None:
        run_command(
            [*quiet, *words],
            title=f"{title} at {commit}",
            bounds=bounds,
            environment=environment,
            folder=where,
            watched=target,
        )

    # Only a whole name, of SHA-1 or SHA-256, can be fetched by itself.
    if len(commit) in (40, 64):
        git("init", "--quiet", "--template=", "--", str(target), where=None)
        try:
            git("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, commit)
            git("checkout", "--quiet", "--detach", "FETCH_HEAD", "--")
            return
        except BeyondBounds:
            raise
        except CodeUnavailable:
            # Some servers provide a single commit only if it is the head of a branch.
            git("fetch", "--quiet", "--no-tags", "--", url, "+refs/heads/*:refs/remotes/origin/*")
    else:
        git("clone", "--quiet", "--template=", "--no-tags", "--no-checkout", "--", url, str(target), where=None)
    git("checkout", "--quiet", "--detach", commit, "--")


def checked_url(url: str) -> str:
    """Return an address that is safe for Git; raise CodeUnavailable for one that could be an option or a program."""
    problem = _problem_with(url)
    if problem:
        raise CodeUnavailable(
            f"The repository address {shown(url)!r} {problem}; write https://host/path.git, git@host:path.git, "
            "file:///path or an absolute path."
        )
    return url


def _problem_with(url: str) -> str | None:
    if not url or url.startswith("-"):
        return "begins with a dash" if url else "is empty"
    if any(char.isspace() or ord(char) < 32 for char in url):
        return "has blanks or control characters in it"
    if _HELPER.match(url):
        return "names a transport that runs programs"
    if "://" not in url:
        return None if os.path.isabs(url) or _SSH.match(url) else "is not an address"
    scheme, host = urlsplit(url).scheme.lower(), urlsplit(url).hostname or ""
    if scheme not in _SCHEMES:
        return f"has the unknown scheme {scheme!r}"
    return "names a host that begins with a dash" if host.startswith("-") else None


def checked_branch(name: str) -> str:
    if not _BRANCH.match(name) or ".." in name or "@{" in name or name.endswith((".lock", "/", ".")):
        raise CodeUnavailable(f"{name!r} is not the name of a branch or tag.")
    return name


def checked_commit(commit: str) -> str:
    if not _COMMIT.match(commit):
        raise CodeUnavailable(f"{commit!r} is not a commit; write its hexadecimal name, 7 to 64 digits.")
    return commit


def shown(url: str) -> str:
    """Return the address without user and password, for messages and logs."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, parts.fragment))


def _split_credentials(url: str, token: str | None, username: str | None) -> tuple[str, str | None, str | None]:
    """Return the address without credentials, which would be visible in the process list and the clone's files."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return url, token, username
    return (
        shown(url),
        token or parts.password or parts.username,
        username or (parts.username if parts.password else None),
    )


def _environment(url: str, token: str | None, username: str | None, bounds: Bounds) -> dict[str, str]:
    # Git itself gives up on a silent connection, in case no process is left to stop it.
    settings = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": str(max(1, round(bounds.seconds)))}
    if token:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise CodeUnavailable(f"A token is of no use for {shown(url)}; tokens go with http and https addresses.")
        pair = base64.b64encode(f"{username or 'x-access-token'}:{token}".encode()).decode()
        # Only for this host: submodules elsewhere do not get the token.
        settings[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: Basic {pair}"
    environment = {
        "GIT_TERMINAL_PROMPT": "0",
        # The program `true`, which prints no password: nobody is there to be asked.
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        # A remote repository must not reach files of this machine, for instance as submodules.
        "GIT_ALLOW_PROTOCOL": "file" if os.path.isabs(url) or url.startswith("file:") else "https:http:ssh:git",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20"),
        "GIT_CONFIG_COUNT": str(len(settings)),
        "LC_ALL": "C",
    }
    for place, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{place}": key, f"GIT_CONFIG_VALUE_{place}": value}
    return environment
