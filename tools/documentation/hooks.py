"""The hooks of mkdocs.yml: equations, code by name, and pages for files of the repository that docs/ links to.

The pages of docs/ are written to be read on a code host, too. What the site adds: a link that is a paragraph of its
own, and leads to a name in a Python file (`../ebm_tf/losses.py#entropy`), shows that code under it; links to files
outside docs/ lead to pages of the site (`tree/...`), so that it is whole without the repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.documentation.highlighting import style_sheet
from tools.documentation.links import slug_of
from tools.documentation.maths import Maths
from tools.documentation.tree_pages import Tree, origin_of

REPOSITORY = Path(__file__).resolve().parents[2]
STYLES = "styles/code.css"
_tree = Tree(REPOSITORY)
_unsearched: set[str] = set()  # addresses of pages of code


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Extensions that are objects, which a YAML file cannot name."""
    config.markdown_extensions.append(Maths())
    config.mdx_configs["toc"] = {"slugify": slug_of, "permalink": "#", "toc_depth": "2-3"}
    config.extra_css.append(STYLES)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs/ that is linked to, and for those that these link to."""
    written = (REPOSITORY / origin_of(file.src_uri) for file in files.documentation_pages())
    for place, content in _tree.pages(written):
        page = File.generated(config, place, content=content)
        files.append(page)
        if not (REPOSITORY / origin_of(place)).is_file():  # it has the name of a file, or folder, and .md
            _unsearched.add(page.url)
    files.append(File.generated(config, STYLES, content=style_sheet()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site, and the code that they show."""
    return _tree.on_the_site(markdown, page.file.src_uri)


@event_priority(-100)
def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Keep code out of the search: it is found where a page speaks of it."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    found = json.loads(index.read_text(encoding="utf-8"))
    kept = [entry for entry in found["docs"] if entry["location"].partition("#")[0] not in _unsearched]
    index.write_text(json.dumps({**found, "docs": kept}), encoding="utf-8")
