"""The check of the documentation: what it finds, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import broken_links, outdated, pages, slug


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Exit codes", "exit-codes"),
        ("2.4 Backup, restore and drill", "24-backup-restore-and-drill"),
        ("`inv drill` & co.", "inv-drill--co"),
        ("復旧訓練（リハーサル）", "復旧訓練リハーサル"),
        ("snake_case – and more", "snake_case--and-more"),
    ],
)
def test_anchors_are_those_of_github(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text('# Guide\n\n## Twice\n\n## Twice\n\n<a id="kept"></a>Text\n')
    (tmp_path / "docs" / "a b.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "target",
    [
        "docs/guide.md",
        "docs/",
        "docs/guide.md#twice",
        "docs/guide.md#twice-1",
        "docs/guide.md#kept",
        "docs/a%20b.txt",
        "#readme",
        "https://example.org/nowhere#at-all",
        "mailto:someone@example.org",
    ],
)
def test_link_that_leads_somewhere_passes(target: str, root: Path) -> None:
    (root / "README.md").write_text(f"# Readme\n\n[text]({target})\n")
    assert broken_links(root) == []


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("docs/gone.md", "no such file"),
        ("docs/guide.md#thrice", "no such heading"),
        ("docs/guide.md#twice-2", "no such heading"),
        ("#Readme", "no such heading"),
        ("/docs/guide.md", "must be relative to the page"),
        ("../../etc", "leads out of the repository"),
        ("", "leads nowhere"),
    ],
)
def test_broken_link_is_named_with_its_place(target: str, problem: str, root: Path) -> None:
    (root / "README.md").write_text(f"# Readme\n\n| a | b |\n| - | - |\n| c | [text]({target}) |\n")
    assert broken_links(root) == [f"README.md:5: {target or '(empty link)'}: {problem}"]


def test_images_and_reference_links_are_checked_too(root: Path) -> None:
    (root / "README.md").write_text("![picture](gone.png)\n\n[text][ref]\n\n[ref]: gone.md\n")
    assert broken_links(root) == ["README.md:1: gone.png: no such file", "README.md:3: gone.md: no such file"]


def test_links_in_code_are_no_links(root: Path) -> None:
    (root / "README.md").write_text("`[text](gone.md)`\n\n```markdown\n[text](gone.md)\n```\n")
    assert broken_links(root) == []


def test_only_the_projects_own_pages_are_read(root: Path) -> None:
    for folder in (".nox/x", "tmp", "dist", ".github"):
        (root / folder).mkdir(parents=True)
        (root / folder / "page.md").write_text("[text](gone)")
    assert [page.path.relative_to(root).as_posix() for page in pages(root).values()] == [
        ".github/page.md",
        "docs/guide.md",
    ]


# os.getcwd returns a text and takes no argument: a generator that the test does not have to make
GENERATED = {"docs/reference/folder.md": "os:getcwd"}


def test_generated_page_is_written_and_then_up_to_date(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    (missing,) = outdated(root, GENERATED, write=False)
    assert "`nox -s docs -- --write` writes it" in missing
    assert outdated(root, GENERATED, write=True) == []
    assert capsys.readouterr().out == "wrote docs/reference/folder.md\n"
    assert outdated(root, GENERATED, write=False) == []


def test_generated_page_that_was_edited_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    outdated(root, GENERATED, write=True)
    page = root / "docs" / "reference" / "folder.md"
    page.write_text(page.read_text() + " ")
    (problem,) = outdated(root, GENERATED, write=False)
    assert problem.startswith("docs/reference/folder.md: ")
    assert page.read_text().endswith(" ")


@pytest.mark.parametrize("reference", ["os:no_such_function", "no_such_module:page"])
def test_page_without_its_generator_is_named(reference: str, root: Path) -> None:
    (problem,) = outdated(root, {"docs/reference/gone.md": reference}, write=True)
    assert problem.startswith(f"docs/reference/gone.md: {reference} cannot be called: ")
