"""The documentation as a whole: its links lead somewhere, every page can be reached, and its code is code."""

from __future__ import annotations

import asyncio
import runpy
import sys
from pathlib import Path

import pytest

from .markdown import DOCS, PAGES, ROOT, anchor, blocks, headings, links, prose, read

NAMES = [str(page.relative_to(DOCS)) for page in PAGES]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_begins_with_its_only_title(name: str) -> None:
    text = read(name)
    assert text.startswith("# ")
    assert [line for line in prose(text).splitlines()[1:] if line.startswith("# ")] == []
    assert len(headings(text)) == len(set(headings(text))), "two headings of one name cannot both be linked to"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in links(read(name)):
        path, _, fragment = link.partition("#")
        target = (DOCS / name).parent / path if path else DOCS / name
        assert target.is_file(), f"{name} links to {link}, which does not exist"
        if fragment:
            known = {anchor(heading) for heading in headings(target.read_text(encoding="utf-8"))}
            assert fragment in known, f"{name} links to {link}, but that page has no such heading"


def test_every_page_can_be_reached_from_the_first() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = (page.parent / link.partition("#")[0] for link in links(page.read_text(encoding="utf-8")))
        waiting += [target.resolve() for target in targets if target.suffix == ".md"]
    assert sorted(str(page) for page in set(PAGES) - reached) == []


@pytest.mark.parametrize("name", NAMES)
def test_python_in_the_pages_compiles(name: str) -> None:
    for block in blocks(read(name)):
        if block.info.split(" ")[0] == "python":
            compile("\n" * (block.line - 1) + block.text, name, "exec", flags=0)


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [
        pytest.param(name, block.line, block.text, id=f"{name}:{block.line}")
        for name in NAMES
        for block in blocks(read(name))
        if block.info == "python runnable"
    ],
)
def test_runnable_python_in_the_pages_runs(name: str, line: int, text: str, tmp_path: Path) -> None:
    module = tmp_path / "page.py"
    module.write_text("\n" * (line - 1) + text)
    runpy.run_path(str(module))


def test_commands_in_the_pages_exist() -> None:
    from roadworthy.cli.main import parser

    known = {line.split()[0] for line in parser().format_help().splitlines() if line.startswith("    ")}
    for name in NAMES:
        for block in blocks(read(name)):
            for line in block.text.splitlines():
                words = line.split()
                if words[:1] == ["roadworthy"] and words[1] != "COMMAND":
                    assert words[1] in known, f"{name}: {line}"


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_first_pages_lead_somewhere(path: str) -> None:
    for link in links((ROOT / path).read_text(encoding="utf-8")):
        assert (ROOT / link.partition("#")[0]).exists(), f"{path} links to {link}"


def test_the_readme_shows_the_quick_start_as_it_is() -> None:
    quickstart = (ROOT / "examples/quickstart.py").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert quickstart in [block.text for block in blocks(readme)]


def test_the_quick_start_is_checked() -> None:
    async def check() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roadworthy", "check", "examples/quickstart.py"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return process.returncode, output

    assert asyncio.run(asyncio.wait_for(check(), 60)) == (0, b"no findings\n")
