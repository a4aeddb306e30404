"""The documentation: it builds without a warning, its links lead somewhere, and it names what there is."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
import typer
import yaml

import cli
from ebm_tf import __version__
from ebm_tf.config import DATASET_NAMES, describe_settings
from ebm_tf.config_files import available_configs, load_experiment
from pipelines.tasks import TASKS
from tools.check_links import links_in, problems_of
from tools.documentation.commands import commands_of
from tools.documentation.links import FENCE, markdown_files
from tools.documentation.settings_page import PAGE, settings_page
from tools.documentation.tree_pages import CODE_LINK

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
MARKDOWN = list(markdown_files(REPOSITORY))
HREF = re.compile(r"<(?:a|img|link|script)\b[^>]*?\s(?:href|src)=\"([^\"]*)\"")
NAME = re.compile(r"\s(?:id|name)=\"([^\"]+)\"")
SETTINGS = {setting.path for setting in describe_settings()}
SECTIONS = {path.rpartition(".")[0] for path in SETTINGS}


@pytest.fixture(scope="module")
def pages(site):
    """The HTML of every page, by its file; none of the search's and the theme's own."""
    return {
        path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if path.name != "404.html"
    }


def test_every_link_and_anchor_of_the_site_is_there(site, pages):
    names = {path: set(NAME.findall(text)) for path, text in pages.items()}
    checked = 0
    for path, text in pages.items():
        for address in HREF.findall(text):
            parts = urlsplit(address)
            if parts.scheme or address == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)} links to {address}"
            if parts.fragment and target in names:
                assert unquote(parts.fragment) in names[target], (
                    f"{path.relative_to(site)} links to {address}"
                )
                checked += 1
    assert checked > 200


def test_the_site_asks_nothing_of_the_network(pages):
    loaded = re.compile(r"<(?:link|script|img|iframe)\b[^>]*?(?:href|src)=\"(https?:[^\"]*)\"")
    assert [address for text in pages.values() for address in loaded.findall(text)] == []


def test_equations_are_mathml(site):
    page = (site / "method.html").read_text(encoding="utf-8")
    equations = re.findall(r"<math\b.*?</math>", page, re.DOTALL)
    assert len(equations) > 40
    for equation in equations:
        assert ElementTree.fromstring(equation).tag.endswith("math")
    prose = re.sub(r"<(pre|code|math)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert "$" not in prose.partition('role="main"')[2].partition("<footer")[0]


def test_the_method_shows_the_code_that_it_names(site):
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    page = (site / "method.html").read_text(encoding="utf-8")
    shown = re.findall(r'<div class="highlight">(.*?)</div>', page, re.DOTALL)
    assert len(CODE_LINK.findall(text)) == len(shown) > 20
    words = re.sub(r"<[^>]+>", "", page)
    assert "flat - tf.stop_gradient(nearest)" in words
    assert "step_size * gradient" in words


def test_code_is_not_in_the_search(site):
    index = (site / "search/search_index.json").read_text(encoding="utf-8")
    assert "tree/index.html" in index
    assert "tree/CONTRIBUTING.html#to-add" in index
    assert not re.search(r"tree/(ebm_tf|configs|LICENSE)", index)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_link_of_a_markdown_file_leads_somewhere(path):
    assert problems_of(links_in(path), REPOSITORY) == []


def test_the_settings_page_is_what_its_tool_writes():
    assert (REPOSITORY / PAGE).read_text(encoding="utf-8") == settings_page()


def test_the_settings_page_has_every_setting_with_its_meaning(site):
    page = (site / "settings.html").read_text(encoding="utf-8")
    words = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)))
    for setting in describe_settings():
        assert f'id="{setting.path}"' in page
        assert setting.description.replace("`", "") in words.replace("`", ""), setting.path


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_command_that_is_shown_is_one(path):
    commands = typer.main.get_command(cli.app).commands
    for words in commands_of(path.read_text(encoding="utf-8")):
        if not words or words[0].startswith("-"):
            continue
        assert words[0] in commands, f"there is no command {words[0]}"
        if len(words) > 1 and not {"--help", "…"} & set(
            words
        ):  # a command that is only named has no arguments
            commands[words[0]].make_context(words[0], list(words[1:]))
        for option, value in zip(words, words[1:]):
            if option in ("--set", "-s", "--grid"):
                assert value.partition("=")[0] in SETTINGS, f"there is no setting {value}"
            if option in ("--task", "-t", "--force"):
                assert value in TASKS, f"there is no task {value}"


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_names_in_code_are_settings_tasks_or_configs(path):
    """Words such as `langevin.steps`, and configs that are extended."""
    text = path.read_text(encoding="utf-8")
    for word in re.findall(r"`([a-z_]+\.[a-z_0-9]+)`", text):
        section, _, key = word.partition(".")
        if section in SECTIONS and key not in ("png", "csv", "json", "yaml"):
            assert word in SETTINGS, f"{path.name} speaks of {word}"
    verbs = "|".join(sorted({re.findall(r"[A-Z][a-z]+", task)[0] for task in TASKS}))
    for word in re.findall(rf"`((?:{verbs})[A-Z]\w*)`", text):
        assert word in TASKS, f"{path.name} speaks of {word}"
    for name in re.findall(r"^extends: (\w+)$", text, re.MULTILINE):
        assert name in available_configs()


def test_every_data_set_is_described():
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    assert [name for name in DATASET_NAMES if f"`{name}`" not in text] == []


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"version = {{{__version__}}}" in (DOCS / "citing.md").read_text(encoding="utf-8")
    assert citation["license"] == "Apache-2.0"


def test_yaml_that_is_shown_is_a_config(tmp_path):
    """Whole configs, which begin with what they extend."""
    shown = 0
    for path in MARKDOWN:
        for block in FENCE.finditer(path.read_text(encoding="utf-8")):
            if block["language"].strip() == "yaml" and "extends:" in block["code"]:
                config = tmp_path / f"shown{shown}.yaml"
                config.write_text(block["code"], encoding="utf-8")
                load_experiment(str(config), [])
                shown += 1
    assert shown >= 2
