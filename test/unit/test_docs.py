"""The pages under docs/ are what the code gives, lead somewhere, and can be found."""

import ast
import functools
import os
import re
import shutil
import textwrap

import neomlir
import pytest
from neomlir.dialects import all_dialects
from neomlir.passes.base import all_passes
from neomlir.reference import changes, write
from neomlir.tools import docs
from pages import ROOT, anchors, links, pages, tokens

INDEX = ROOT / "docs" / "index.md"


def test_the_reference_is_what_the_code_gives():
    stale = [str(path) for path in changes(ROOT)]
    run = "`make docs`, which runs `python -m neomlir.tools.docs docs`"
    assert not stale, f"the code has changed since these pages were written; run {run}: {', '.join(stale)}"


def test_writing_brings_pages_up_to_date(tmp_path, capsys):
    for folder in ("docs", "python", "test", "targets"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "Output"))
    gone = tmp_path / "docs/reference/passes/neo-gone.md"
    gone.write_text("a pass that was\n")
    tool = tmp_path / "docs/tools/neo-run.md"
    tool.write_text(tool.read_text().replace("--threads", "--strands").replace("Runs a compiled", "Runs the compiled"))
    (tmp_path / "docs/reference/targets/znver4.md").unlink()
    wrong = {"docs/reference/passes/neo-gone.md", "docs/reference/targets/znver4.md", "docs/tools/neo-run.md"}
    assert docs.main([str(tmp_path / "docs"), "--check"]) == 1
    assert set(capsys.readouterr().out.split()) == wrong
    assert {str(path) for path in write(tmp_path)} == wrong
    assert docs.main([str(tmp_path / "docs"), "--check"]) == 0
    assert not gone.exists()
    # What people wrote around the options stays.
    assert "Runs the compiled" in tool.read_text()
    assert "--threads" in tool.read_text()


def test_only_a_checkout_is_written_to(tmp_path):
    with pytest.raises(SystemExit) as exit_:
        docs.main([str(tmp_path)])
    assert exit_.value.code == 2


def test_no_link_is_dead():
    heads = functools.cache(anchors)
    dead = []
    for page in pages():
        for link in links(page):
            if re.match(r"https?://|mailto:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in heads(target)):
                dead.append(f"{page.relative_to(ROOT)}: {link}")
    assert not dead


def test_every_page_can_be_reached_from_the_index():
    seen, waiting = set(), [INDEX]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        paths = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
        waiting += [path for path in paths if path.suffix == ".md" and path.is_file()]
    assert not [os.path.relpath(page, ROOT) for page in pages() if page not in seen and page.name != "README.md"]


def test_pages_that_the_code_names_exist():
    folders = ("python", "dialects", "pipelines", "targets", "runtime", "examples", "benchmarks")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.*") if file.suffix in (".py", ".c", ".h")]
    named = {name for file in files for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text())}
    here = {str(page.relative_to(ROOT)) for page in pages()}
    assert not named - here


def sources():
    folders = ("python", "dialects", "pipelines", "targets")
    return [path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_attribute_is_described():
    set_or_read = {name for text in sources() for name in re.findall(r'"(neo\.[a-z_]+)"', text)}
    operations = {op.OPERATION_NAME for module in all_dialects() for op in module.DIALECT.operations}
    # One does not outlive `neo-expand-math`, the other is the header.
    wanted = set_or_read - operations - {"neo.held", "neo.h"}
    described = set(re.findall(r"^\| `(neo\.[a-z_]+)` \|", (ROOT / "docs/levels.md").read_text(), re.MULTILINE))
    assert wanted == described


def test_every_environment_variable_is_described():
    read = {name for text in sources() for name in re.findall(r'environ(?:\.get\(|\[)"(NEO_[A-Z_]+)"', text)}
    assert read == set(re.findall(r"^\| `(NEO_[A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))


def test_passes_and_tools_that_pages_name_exist():
    known = {cls.name for cls in all_passes()} | {file.stem for file in (ROOT / "docs").rglob("*.md")}
    # Contestants have names of this form too.
    known |= {
        name for file in (ROOT / "benchmarks").glob("*.py") for name in re.findall(r"neo-[a-z-]+", file.read_text())
    }
    for page in pages():
        # What pages make, tests make that follow them.
        if not page.name.startswith("add-"):
            named = {name for name in re.findall(r"`(neo-[a-z][a-z-]*)(?:[`{= ])", page.read_text())}
            assert not named - known, page


def test_python_on_pages_is_python():
    for page in pages():
        for token in tokens(page):
            if token.type == "fence" and token.info == "python":
                # `…` stands for what is left out.
                tree = ast.parse(textwrap.dedent(token.content).replace("…", "..."))
                found = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_neomlir(node.value)]
                assert all(hasattr(neomlir, node.attr) for node in found), page


def _is_neomlir(node):
    return isinstance(node, ast.Name) and node.id == "neomlir"
