"""Open every built page of the book in a browser; run by ``nox -s book``, after the build.

Needs Chromium (``CHROMIUM`` names it, else it is looked for on the PATH) and the book in
``book/_build/html``. Pictures of all pages are left in ``book/_build/screenshots``.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BOOK = Path(__file__).parents[1] / "book"
HTML = BOOK / "_build" / "html"
SHOTS = BOOK / "_build" / "screenshots"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if path.relative_to(HTML).parts[0] != "_static"  # templates of the theme
)
CHAPTERS = {path.with_suffix(".html").name for path in BOOK.glob("*.ipynb")}
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# Rules of axe-core that are not asked of these pages, each with its reason.
NOT_ASKED: dict[str, str] = {}

LINKS = "() => [...document.querySelectorAll('a[href]')].map(a => a.href)"
IMAGES = "() => [...document.images].filter(i => !i.hasAttribute('alt')).map(i => i.src)"
BROKEN = "() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
TOO_WIDE = """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
    [...document.querySelectorAll('article *')]
    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
    .filter(e => { // not what scrolls inside something else
        for (let up = e.parentElement; up && up.tagName != 'ARTICLE'; up = up.parentElement)
            if (getComputedStyle(up).overflowX != 'visible') return false;
        return true; })
    .slice(0, 3).map(e => e.tagName + '.' + e.className)
    .concat([`page of ${document.documentElement.scrollWidth} pixels`])"""
MATHS = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Serve the built book on this machine alone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, filter(None, names))), None)
    if found is None:
        pytest.fail(
            "no Chromium found: install it, or name it in the variable CHROMIUM", pytrace=False
        )
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser):
    """One session for all pages, which loads shared files once."""
    session = browser.new_context(viewport=DESK)
    session.set_default_timeout(300_000)  # milliseconds; machines are slow when they are shared
    return session


@pytest.fixture
def page(context):
    """A new tab that writes down what goes wrong in it."""
    tab = context.new_page()
    tab.wrong = []
    tab.on("console", lambda m: m.type == "error" and tab.wrong.append(f"console: {m.text}"))
    tab.on("pageerror", lambda error: tab.wrong.append(f"script: {error}"))
    tab.on("requestfailed", lambda r: tab.wrong.append(f"failed: {r.url}"))
    tab.on("request", lambda r: tab.wrong.append(f"network: {r.url}") if is_far(r.url) else None)
    tab.on("response", lambda r: r.status >= 400 and tab.wrong.append(f"{r.status}: {r.url}"))
    yield tab
    tab.close()


def is_far(url):
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1"


@cache
def anchors(path):
    return set(re.findall(r'\b(?:id|name)="([^"]+)"', path.read_text(encoding="utf-8")))


def broken_links(urls, address):
    """Give the links into the book that lead to no file, or to no place in it."""
    for url in sorted(set(urls)):
        if not url.startswith(address):
            continue
        parts = urlsplit(url)
        target = HTML / (unquote(parts.path).lstrip("/") or "index.html")
        place = unquote(parts.fragment)
        if not target.is_file() or (place and place not in anchors(target)):
            yield url


def violations(tab):
    """Give what axe-core calls serious or critical, with the first places of each."""
    rules = {name: {"enabled": False} for name in NOT_ASKED}
    # Without preload: axe-core would fetch the theme's imported style sheets from a wrong folder.
    asked = {"resultTypes": ["violations"], "rules": rules, "preload": False}
    found = Axe().run(tab, options=asked)
    for one in found.response["violations"]:
        if one["impact"] in {"serious", "critical"}:
            places = [node["html"][:160] for node in one["nodes"][:3]]
            yield f"axe {one['id']} ({len(one['nodes'])}): {places}"


def silent_demos(tab):
    """Give the demos that do not answer to a click, or to the keyboard."""
    for demo in tab.locator("[data-demo]").all():
        step = demo.locator('[data-demo-action="step"]')
        generation = demo.locator("[data-demo-generation]")
        name = demo.get_attribute("data-demo")
        alive = demo.locator("[data-demo-alive]")
        board = demo.locator("canvas[tabindex]")
        play = demo.locator('[data-demo-action="play"]')
        for way, act, told in (
            ("click", step.click, generation),
            ("key", lambda s=step: s.press("Enter"), generation),
            ("key on a cell", lambda b=board: b.press("Space"), alive),
            ("click on a cell", lambda b=board: b.click(position={"x": 9, "y": 9}), alive),
            ("click on Play", play.click, generation),
        ):
            before = told.inner_text()
            act()
            tab.wait_for_timeout(300)
            if told.inner_text() == before:
                yield f"demo {name}: no answer to a {way}"
        play.click()  # pause


def picture(tab, name, kind):
    SHOTS.mkdir(parents=True, exist_ok=True)
    file = SHOTS / f"{name.removesuffix('.html').replace('/', '-')}{kind}.png"
    tab.screenshot(path=str(file), full_page=True)


def dark(tab):
    tab.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    tab.wait_for_timeout(400)  # colours fade


@pytest.mark.parametrize("name", PAGES)
def test_page(name, page, address):
    page.goto(address + name)
    page.evaluate(MATHS)
    wrong = page.wrong
    wrong += [f"link: {url}" for url in broken_links(page.evaluate(LINKS), address)]
    wrong += [f"image without alt: {url}" for url in page.evaluate(IMAGES)]
    wrong += [f"image that does not load: {url}" for url in page.evaluate(BROKEN)]
    wrong += list(violations(page))
    picture(page, name, "")
    wrong += list(silent_demos(page))
    if name in CHAPTERS or name == "index.html":
        dark(page)
        wrong += [f"dark: {text}" for text in violations(page)]
        picture(page, name, "-dark")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(300)
    wrong += [f"too wide for a phone: {text}" for text in page.evaluate(TOO_WIDE)]
    if name in CHAPTERS:
        picture(page, name, "-phone")
    assert not wrong, "\n".join(wrong)


def test_every_chapter_was_built():
    assert set(PAGES) >= CHAPTERS | {"index.html", "glossary.html", "bibliography.html"}
