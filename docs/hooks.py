"""Hooks of the documentation site: what a page may say on GitHub and on the site alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
OPTIONAL = {"Serving and scaling": {"Scaling": "scaling.md"}}
"""Pages that are listed if they exist, by section."""
HOME = {"../README.md#commands": "command-line.md", "../README.md": "index.md"}
"""Links to the README, and the site's page in its place."""


def on_config(config: Any) -> Any:
    """Add optional pages to the navigation."""
    for section in config.nav:
        for title, pages in section.items():
            if isinstance(pages, list):
                listed = {name for page in pages for name in page.values()}
                new = OPTIONAL.get(title, {}).items()
                pages.extend({name: path} for name, path in new if path not in listed and (DOCS / path).is_file())
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to the README to the site's own pages, and links to other files outside docs/ to plain text."""
    for link, page in HOME.items():
        markdown = markdown.replace(f"]({link})", f"]({page})")
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
