"""What the tutorial and the pages "add a …" tell their readers to do works, and prints what they show."""

import pytest
from pages import ROOT, checkout, environment, follow

PAGES = sorted((ROOT / "docs").glob("add-*.md"))


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_can_be_followed(page, tmp_path):
    assert follow(page, tmp_path, checkout(tmp_path)) > 0


@pytest.mark.long
@pytest.mark.parametrize(("page", "compared"), [("docs/tutorial.md", 9), ("README.md", 1)])
def test_users_can_follow(page, compared, tmp_path):
    assert follow(ROOT / page, tmp_path, environment()) >= compared
