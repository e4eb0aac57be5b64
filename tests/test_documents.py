"""The documents lead to files that exist, call commands that exist, and keep to their lengths."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from search.commands.app import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|toml|json|svg|yaml|sh))`")
MOST_LINES = {"ARCHITECTURE.md": 100, "CONTRIBUTING.md": 50}
COMMANDS = {
    name: {o for param in command.params for o in (*param.opts, *param.secondary_opts)}
    for name, command in typer.main.get_command(app).commands.items()
}
OF_ANY_COMMAND = {"--help", "--version"}.union(*COMMANDS.values())


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(text):
    """The anchors of a document's headings, as GitHub and most renderers spell them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_and_headings_lead_somewhere(name):
    for link in LINK.findall(read(name)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        assert target.exists(), f"{name} links to {link}"
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{name}: {link}"


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "CHANGELOG.md"])
def test_files_that_documents_name_exist(name):
    for file in NAMED_FILE.findall(read(name)):
        places = (ROOT / file, (ROOT / name).parent / file)
        assert any(place.exists() for place in places), f"{name} names {file}"


def code_of(text):
    """The pieces of code of a document: indented lines, and what is between backticks."""
    indented = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    prose = re.sub(r"^ {4}.+$", "", text, flags=re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [re.sub(r"ray job submit .*? -- ", "", piece) for piece in indented + spans]


def wrong_words(piece):
    """Commands and options of a piece of code that the command line has not."""
    called = re.search(r"vit-frontier ([a-z]+)", piece)
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", piece))
    if called is None:
        return options - OF_ANY_COMMAND
    if called[1] not in COMMANDS:
        return {called[1]}
    return options - COMMANDS[called[1]] - {"--help"}


def test_commands_and_options_of_the_readme_exist():
    pieces = code_of(read("README.md"))
    assert any("vit-frontier search --data FOLDER" in piece for piece in pieces)
    assert {piece: wrong_words(piece) for piece in pieces if wrong_words(piece)} == {}


def test_the_readme_names_every_command():
    table = [line for line in read("README.md").splitlines() if line.startswith("| `vit-frontier")]
    named = set(re.findall(r"`(?:vit-frontier )?([a-z]+) ?", " ".join(table)))
    assert set(COMMANDS) <= named


@pytest.mark.parametrize("name", MOST_LINES)
def test_a_document_stays_short(name):
    assert len(read(name).splitlines()) <= MOST_LINES[name]


def test_changelog_and_citation_tell_the_version_of_the_package():
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    newest = re.search(r"^## (\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert f"\nversion: {version}\n" in read("CITATION.cff")
