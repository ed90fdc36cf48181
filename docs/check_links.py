"""Check the links of the built site: `python docs/check_links.py build/site`, which `make docs` runs.

Every link and picture within the site must lead to a file of it, and every anchor to an element of that file. Links to other
sites are not followed, so that a build needs no network.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Links and anchors of an HTML file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the attributes of a tag that name an anchor or lead somewhere."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Return a line for each broken link within a site, by page."""
    page = cache(Page)
    site, broken = site.resolve(), []
    for path in sorted(site.rglob("*.html")):
        for link in sorted(page(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file() or site not in target.parents:
                broken.append(f"{path.relative_to(site)}: {link} leads to no file")
            elif anchor and target.suffix == ".html" and anchor not in page(target).anchors:
                broken.append(f"{path.relative_to(site)}: {link} leads to no element of its page")
    return broken


def main(site: str) -> int:
    """Print the broken links of a site, and return 1 if there are any."""
    pages = sum(1 for _ in Path(site).rglob("*.html"))
    broken = broken_links(Path(site)) if pages else [f"{site} holds no pages; build it by `make docs`"]
    print(*broken, f"{pages} pages, {len(broken)} broken links", sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
