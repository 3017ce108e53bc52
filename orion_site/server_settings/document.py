"""The settings of the server as Markdown: `make pages` writes them into docs/reference/settings.md."""

from __future__ import annotations

import os
from collections.abc import Iterator

import django

HEAD = """## Settings of the server

They come from the environment of `orion server start` and of the services, and are read once at the start. A value
that cannot be read stops the start with one sentence. The page [Settings](dashboard.md#settings-of-the-server) shows
the value of each and where it comes from. It can change these while servers run:
"""


def lines() -> Iterator[str]:
    # Imported here because its models need Django.
    from deployments.upkeep.current_settings import CHANGEABLE
    from orion_site.server_settings.catalogue import CATALOGUE, default_words

    yield HEAD
    yield from (f"- `{name}`" for name in CHANGEABLE)
    yield ""
    for subject, entries in CATALOGUE.items():
        yield f"### {subject}\n"
        yield "| Variable | Default | Meaning |\n|---|---|---|"
        yield from (f"| `{one.name}` | {one.default or default_words(one)} | {one.meaning} |" for one in entries)
        yield ""


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    django.setup()
    print("\n".join(lines()).rstrip("\n"))


if __name__ == "__main__":
    main()
