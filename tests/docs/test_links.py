"""Links in the documents lead somewhere, and no document names what is not here."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_rooms_of_the_architecture_are_those_of_the_house() -> None:
    told = set(re.findall(r"[a-z]+", (ROOT / "ARCHITECTURE.md").read_text()))
    rooms = {path.name for path in (ROOT / "src" / "salus").iterdir() if (path / "__init__.py").exists()}
    assert rooms <= told
