"""Pages look as they did, and say to who does not see them what they said: `make pixels` renews what that was.

Clock, rows and font are the same each time. A browser of another version draws a little differently: then nothing is
compared until the pictures have been renewed with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.houses import still_server
from tests.browser.sample.still import MOMENT
from tests.homes import ROOT

Image = pytest.importorskip("PIL.Image")
ImageChops = pytest.importorskip("PIL.ImageChops")

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.everywhere]

RENEWS = bool(os.environ.get("ORION_RENEW_PICTURES"))
PICTURES = Path(__file__).with_name("pictures")
MADE_WITH = PICTURES / "made-with.json"
# The folder for what a page looked like instead, and where it differs.
FOUND = ROOT / "build" / "pixels"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
ONE_FONT = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>{fonts}</dir><cachedir>{cache}</cachedir>
<match target="pattern"><test name="family" compare="contains"><string>mono</string></test>
<edit name="family" mode="assign" binding="strong"><string>DejaVu Sans Mono</string></edit></match>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>"""
PAGES = {
    "home": "/",
    "runs": "/runs",
    "run": "/runs/{failed}",
    "run-graph": "/runs/{failed}?tab=graph",
    "run-radar": "/runs/{failed}?tab=graph&view=radar",
    "run-logs": "/runs/{failed}?tab=logs",
    "flow": "/flows/{flow}",
    "deployments": "/deployments",
    "deployment": "/deployments/{deployment}",
    "deployment-run": "/deployments/{deployment}/run",
    "new-schedule": "/deployments/{deployment}/schedules/new",
    "schedule": "/schedule",
    "work": "/work",
    "limits": "/limits",
    "settings": "/settings",
}
SCREENS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
HEIGHT = 900
# A colour difference that is invisible, and the share of all pixels that may differ by more.
FAINT, FEW = 24, 0.0001
# Replace ids and ports, which differ each time.
SETTLE = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const settled = text.data
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "01900000-0000-7000-8000-000000000000")
      .replace(/127\\.0\\.0\\.1:\\d+/g, "127.0.0.1:4200");
    if (settled !== text.data) text.data = settled;
  }
}"""


@pytest.fixture(scope="module")
def browser_and_fonts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    files = sorted(FONTS.glob("DejaVuSans*.ttf"))
    if not files:
        pytest.skip(f"the font of the pictures is not in {FONTS} (fonts-dejavu-core)")
    folder = tmp_path_factory.mktemp("fonts")
    chosen = [
        one for one in files if one.stem in {"DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold"}
    ]
    for file in chosen:
        shutil.copy(file, folder)
    config = folder / "fonts.conf"
    config.write_text(ONE_FONT.format(fonts=folder, cache=folder / "cache"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none",
                  "--disable-lcd-text", "--force-color-profile=srgb"],
            env={**os.environ, "FONTCONFIG_FILE": str(config)},
        )  # fmt: skip
        yield browser, hashlib.sha256(b"".join(one.read_bytes() for one in chosen)).hexdigest()[:16]
        browser.close()


@pytest.fixture(scope="module")
def still_browser(browser_and_fonts: tuple[Browser, str]) -> Browser:
    browser, fonts = browser_and_fonts
    now = {"chromium": browser.version, "fonts": fonts}
    if RENEWS:
        PICTURES.mkdir(exist_ok=True)
        MADE_WITH.write_text(json.dumps(now, indent=2) + "\n")
    then = json.loads(MADE_WITH.read_text())
    if now != then:
        pytest.skip(f"the pictures were made with {then}, and here is {now}: look at them and `make pixels`")
    return browser


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with still_server(tmp_path_factory.mktemp("still")) as house:
        yield {name: house.address + path.format(**house.pages) for name, path in PAGES.items()}


@contextmanager
def opened(browser: Browser, address: str, width: int, scheme: str) -> Iterator[Page]:
    with browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    ) as context:
        page = context.new_page()
        page.clock.set_fixed_time(MOMENT)
        page.goto(address)
        control = page.locator("#live-control")
        if page.locator("[data-live]").count():
            expect(control).to_have_attribute("data-state", "live")
        page.evaluate(SETTLE)
        yield page


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_did(still_browser: Browser, addresses: dict[str, str], name: str, width: int, scheme: str):
    kept = PICTURES / f"{name}-{width}-{scheme}.png"

    with opened(still_browser, addresses[name], width, scheme) as page:
        shot = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")

    if RENEWS:
        shot.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(kept, optimize=True)
    wanted = Image.open(kept).convert("RGB")
    part = differing_part(shot, wanted, FOUND / f"{kept.stem}-differs.png")
    if part > FEW:
        shot.save(FOUND / kept.name)
    assert part <= FEW, f"{part:.2%} of {kept.name} differs: look at {FOUND}, and `make pixels` if that is right"


def differing_part(one: Image.Image, other: Image.Image, picture: Path) -> float:
    """The part of the pixels of which a colour differs visibly; a picture of them, if they are too many."""
    if one.size != other.size:
        return 1.0
    channels = ImageChops.difference(one, other).split()
    most = ImageChops.lighter(ImageChops.lighter(channels[0], channels[1]), channels[2])
    visible = most.point(lambda value: 255 if value > FAINT else 0)
    part: float = visible.histogram()[255] / (one.width * one.height)
    if part > FEW:
        FOUND.mkdir(parents=True, exist_ok=True)
        visible.save(picture)
    return part


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_its_outline_for_screen_readers(still_browser: Browser, addresses: dict[str, str], name: str):
    """The outline has the roles, names, states and the order of the elements."""
    kept = PICTURES / f"{name}.yml"

    with opened(still_browser, addresses[name], 1440, "light") as page:
        outline = page.locator("body").aria_snapshot() + "\n"

    outline = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", outline)
    outline = re.sub(r"/\S*/still\d+", "<home>", outline)
    if RENEWS:
        kept.write_text(outline)
    assert outline == kept.read_text(), "`make pixels` renews it, if that is right"
