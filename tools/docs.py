"""Check that every link and anchor in the Markdown files leads somewhere, and that generated pages are up to date.

`--write` writes the generated pages instead of checking them.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
# Each generated page and the function, without arguments, that returns its text.
PAGES = {
    "docs/reference/settings.md": "cn_ops.settings.reference:settings_page",
    "docs/reference/tasks.md": "cn_ops.tasks.reference:tasks_page",
    "docs/reference/exit-codes.md": "cn_ops.tasks.reference:exit_codes_page",
    "docs/reference/summary.md": "cn_ops.tasks.reference:summary_page",
}
NOT_OURS = {"tmp", "test-results", "build", "dist"}

_PARSER = MarkdownIt("commonmark").enable("table")
_HTML_ANCHOR = re.compile(r"""<a\s+(?:id|name)=["']([^"']+)["']""")


@dataclass(frozen=True)
class Page:
    """A Markdown file: where it links to (line and target), and what can be linked to in it."""

    path: Path
    links: tuple[tuple[int, str], ...]
    anchors: frozenset[str]


def pages(root: Path) -> dict[Path, Page]:
    """Read every Markdown file of the project."""
    found = (path for path in sorted(root.rglob("*.md")) if not _ignored(path.relative_to(root)))
    return {path.resolve(): parse(path) for path in found}


def _ignored(path: Path) -> bool:
    hidden = any(part.startswith(".") and part != ".github" for part in path.parts)
    return hidden or path.parts[0] in NOT_OURS


def parse(path: Path) -> Page:
    """Read one Markdown file."""
    tokens = _PARSER.parse(path.read_text(encoding="utf-8"))
    return Page(path, tuple(_links(tokens)), frozenset(_anchors(tokens)))


def _links(tokens: Sequence[Token]) -> Iterator[tuple[int, str]]:
    for block in tokens:
        line = block.map[0] + 1 if block.map else 0
        for token in block.children or ():
            target = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
            if token.type in ("link_open", "image"):
                yield line, str(target or "")


def _anchors(tokens: Sequence[Token]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for opening, block in pairwise(tokens):
        if opening.type == "heading_open":
            name = slug("".join(token.content for token in block.children or ()))
            count = seen[name] = seen.get(name, -1) + 1
            yield f"{name}-{count}" if count else name
    for block in tokens:
        yield from _HTML_ANCHOR.findall(block.content)


def slug(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def broken_links(root: Path) -> list[str]:
    """Return what each link that leads nowhere should have found, one line each."""
    known = pages(root)
    found = []
    for page in known.values():
        for line, target in page.links:
            if problem := _problem(page, target, known, root):
                found.append(f"{page.path.relative_to(root)}:{line}: {target or '(empty link)'}: {problem}")
    return found


def _problem(page: Page, target: str, known: Mapping[Path, Page], root: Path) -> str:
    url = urlsplit(target)
    if url.scheme or url.netloc:
        return ""
    if url.path.startswith("/"):
        return "must be relative to the page"
    path = (page.path.parent / unquote(url.path)).resolve() if url.path else page.path.resolve()
    if not path.is_relative_to(root.resolve()):
        return "leads out of the repository"
    if not path.exists():
        return "no such file"
    if url.fragment and path in known and unquote(url.fragment) not in known[path].anchors:
        return "no such heading"
    return "" if target else "leads nowhere"


def generator(reference: str) -> Callable[[], str]:
    """Return the function that `module:name` stands for."""
    module, name = reference.split(":")
    function: Callable[[], str] = getattr(importlib.import_module(module), name)
    return function


def outdated(root: Path, registry: Mapping[str, str], *, write: bool) -> list[str]:
    """Return which generated pages differ from what their functions return; ``write`` writes those."""
    found = []
    for name, reference in registry.items():
        try:
            page, text = root / name, generator(reference)()
        except (ImportError, AttributeError) as error:
            found.append(f"{name}: {reference} cannot be called: {error}")
            continue
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        if write:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
        else:
            found.append(f"{name}: is not what {reference} returns; `nox -s docs -- --write` writes it")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the documentation; return 1 when something in it is wrong."""
    parser = argparse.ArgumentParser(prog="nox -s docs --", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the generated pages")
    options = parser.parse_args(arguments)
    found = outdated(ROOT, PAGES, write=options.write) + broken_links(ROOT)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(pages(ROOT))} pages, {len(PAGES)} of them generated, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
