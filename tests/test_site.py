"""The site: it builds without a warning, its links lead somewhere, options are described. Needs the extra `docs`."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="the site is built with the extra `docs`: make docs")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """What a page refers to, what it fetches, and what can be referred to within it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.fetched, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        self.links += [found["href"]] if tag == "a" and found.get("href") else []
        fetched = found.get("src") or (found.get("href") if tag == "link" else None)
        self.fetched += [fetched] if fetched else []


def test_links_lead_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            assert there.exists(), f"{path}: {link}"
            if parts.fragment and there in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[there].ids, f"{path}: {link}"


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        assert not [one for one in Page(path).fetched if one.startswith(("http:", "https:", "//"))], path


def test_pages_are_there(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    assert "A learned image codec that behaves like any other Pillow format" in start
    assert 'href="guide/comparison/#time"' in start  # README's docs/guide/comparison.md#time
    for page in ("FORMAT", "research-log", "changelog", "contributing", "cards/photo", "decisions", "api/errors"):
        assert (site / page / "index.html").exists(), page
    assert not (site / "pending").exists()
    api = (site / "api" / "pillow_lic" / "index.html").read_text(encoding="utf-8")
    assert "{options}" not in api
    assert api.count("register_model") >= 2  # the heading and its place in the contents: the name that users have
    assert "<li><code>quality</code>" in api.replace("\n", "")
    assert "LicCorruptTile" in (site / "api" / "errors" / "index.html").read_text(encoding="utf-8")
    from pillow_lic import metrics

    measured = (site / "api" / "metrics" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="pillow_lic.metrics.{name}"' in measured for name in metrics.MEASURES)
