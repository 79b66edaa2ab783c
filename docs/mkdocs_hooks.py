"""Hooks of mkdocs (mkdocs.yml): documents outside docs/ become pages, the navigation follows the indices, and links to
what is no page lead to the source.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Documents of the repository that lie outside docs/, and the pages that they become.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "bench/README.md": "bench.md",
}
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)


def source_address() -> str:
    """Where the source can be read, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Source"])


def listed(folder: str) -> list[str]:
    """The pages of a folder in the order in which its index names them."""
    text = (DOCS / folder / "index.md").read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"\((?:\./)?([\w.-]+\.md)(?:#[\w-]*)?\)", text))
    return [f"{folder}/index.md", *(f"{folder}/{name}" for name in names if name != "index.md")]


def on_config(config):
    """The navigation."""
    config["nav"] = [
        {"Start": "index.md"},
        {"Guide": listed("guide")},
        {"API": listed("api")},
        {"Format": ["FORMAT.md", "BANDS.md", "glossary.md", "SECURITY.md"]},
        {"Models": listed("cards")},
        {"Inside": ["ARCHITECTURE.md", "contributing.md", "bench.md", "surveys.md", "research-log.md", "changelog.md"]},
        {"Decisions": listed("decisions")},
    ]
    config["repo_url"], config["repo_name"] = source_address(), "Source"
    return config


def on_files(files, config):
    """The documents outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """Every link as it is meant on the site."""
    sources = {page: source for source, page in PAGES.items()}
    here = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pieces = FENCED.split(markdown)  # every second one is a fenced block
    pieces[::2] = [LINK.sub(lambda link: link[1] + led(link[2], here) + link[3], piece) for piece in pieces[::2]]
    return "".join(pieces)


def led(target: str, here: str) -> str:
    """A link of the document `here`, a path in the repository, as it stands on its page."""
    if re.match(r"[a-z]+:", target) or target.startswith("#"):
        return target
    path, _, anchor = target.partition("#")
    there = os.path.normpath(os.path.join(os.path.dirname(here), path)).replace(os.sep, "/")
    page = PAGES.get(there) or (there.removeprefix("docs/") if there.startswith("docs/") else None)
    if page is None or not (there in PAGES or is_page(there)):
        kind = "tree" if (ROOT / there).is_dir() else "blob"
        return f"{source_address()}/{kind}/main/{there}"
    start = PAGES.get(here) or here.removeprefix("docs/")
    return os.path.relpath(page, os.path.dirname(start) or ".").replace(os.sep, "/") + (f"#{anchor}" if anchor else "")


def is_page(there: str) -> bool:
    """Whether a file of docs/ is on the site."""
    return (ROOT / there).is_file() and not there.endswith(".py")
