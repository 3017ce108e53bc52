"""The pictures of the documentation, light and dark: `make illustrations` renews docs/images/*.png.

A page names the light one; the site and the help put the dark one, NAME-dark.png, in its place where colours are dark.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.screenshots import served
from tests.homes import ROOT

FOLDER = ROOT / "docs" / "images"
# Pages of the sample by their names in `screenshots`.
SHOWN = {"home": "home", "run": "run-mapped", "run-failed": "run-failed", "deployments": "deployments"}
SIZE = {"width": 1200, "height": 760}
# With this few colours a picture takes a fifth of the bytes and looks the same.
COLOURS = 128


def main() -> None:
    with served("normal", sys.argv[1] if sys.argv[1:] else None) as (address, pages), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            context = browser.new_context(
                base_url=address, viewport=SIZE, color_scheme="dark" if scheme == "dark" else "light"
            )
            page = context.new_page()
            # On a machine that has much else to do.
            page.set_default_timeout(300_000)
            for name, shown in SHOWN.items():
                page.goto(pages[shown])
                page.wait_for_timeout(500)
                file = FOLDER / f"{name}{'-dark' if scheme == 'dark' else ''}.png"
                page.screenshot(path=file)
                shrink(file)
                print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} kB", flush=True)
            context.close()
        browser.close()


def shrink(file: Path) -> None:
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    main()
