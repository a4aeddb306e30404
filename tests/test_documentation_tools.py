"""What the documentation is made with: code by name, equations, links."""

from __future__ import annotations

import http.server
import sys
import threading

import markdown
import pytest

from tools import check_links
from tools.check_links import found_in, problem_of
from tools.documentation.commands import commands_of
from tools.documentation.links import anchors_of, links_of, slug_of
from tools.documentation.maths import Maths, UnknownMaths, mathml
from tools.documentation.quoting import NotThere, names_of, quote
from tools.documentation.tree_pages import BrokenLink, Tree

SOURCE = '''"""A module."""

LIMIT = 3


@decorated
def outer(x):
    """What it does.

    More.
    """
    total = 1
    if x:
        total += x
    left, right = x
    return total


class Thing:
    """One."""

    def method(self):
        return 2
'''


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize(
    ("name", "line", "code"),
    [
        ("LIMIT", 3, "LIMIT = 3"),
        ("Thing.method", 22, "def method(self):\n    return 2"),
        ("outer.total", 12, "total = 1\ntotal += x"),
        ("outer.right", 15, "left, right = x"),
        (
            "outer",
            6,
            "@decorated\ndef outer(x):\n    total = 1\n    if x:\n        total += x\n    left, right = x\n"
            "    return total",
        ),
    ],
)
def test_code_is_found_by_its_name_without_its_docstring(source, name, line, code):
    assert quote(source, name) == (line, code)


@pytest.mark.parametrize("name", ["inner", "outer.nothing", "Thing.other", "total"])
def test_a_name_that_is_gone_is_refused_with_those_there_are(source, name):
    with pytest.raises(NotThere) as refused:
        quote(source, name)
    assert str(refused.value) == (
        f"source.py has no {name}; give one of Thing, Thing.method, outer, or a variable in one of them"
    )
    assert names_of(source) == ["outer", "Thing", "Thing.method"]


@pytest.mark.parametrize(
    ("latex", "problem"),
    [
        (r"\unknown x", "has a command that is not known"),
        (r"\frac{1}", "is not complete"),
        (r"\begin{aligned} a &= b \end{aligned}", "cannot read the equation"),
    ],
)
def test_equations_that_would_come_out_wrong_are_refused(latex, problem):
    with pytest.raises(UnknownMaths, match=problem):
        mathml(latex, "block")


def test_an_equation_keeps_its_parts():
    written = mathml(r"\frac{a}{b_2}", "inline")
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><msub><mi>b</mi><mn>2</mn></msub></mrow></mfrac>" in written


def test_dollars_in_code_and_of_money_are_no_equations():
    text = "`$x$` costs 5$ or $6 and \\$7\n\n```\n$$y$$\n```\n\n$a_1 * b_2$ and\n\n$$c$$\n"
    html = markdown.markdown(text, extensions=["fenced_code", Maths()])
    assert html.count("<math") == 2
    assert "<code>$x$</code> costs 5$ or $6" in html
    assert "$$y$$" in html
    assert "<em>" not in html
    assert '<div class="equation"><math' in html


def test_links_are_those_outside_code():
    text = (
        "A [b](c.md#d) ![e](f.png) `[h](i.md)` <https://j.k/l>\n\n```\n[m](n.md)\n```\n"
        '<img src="o.png" width="3"> [p](https://q.r/s_(t)) [u](v.md "w")\n'
    )
    targets = [link.target for link in links_of(text)]
    assert targets == ["c.md#d", "f.png", "https://j.k/l", "o.png", "https://q.r/s_(t)", "v.md"]
    for link in links_of(text):
        assert text[link.start : link.end] == link.target


def test_headings_have_the_names_that_code_hosts_give_them():
    text = '# A `b.c`, and [d](e)\n\n## Two words\n\n## Two words\n\n```\n# no\n```\n<a id="x.y"></a>`<a id="no">`\n'
    assert anchors_of(text) == {"a-bc-and-d", "two-words", "two-words-1", "x.y"}
    assert slug_of("The paper's — own!") == "the-papers--own"


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[a](there.md)", None),
        ("[a](there.md#a-heading)", None),
        ("[a](#here)", None),
        ("[a](source.py#outer.total)", None),
        ("[a](folder)", None),
        ("[a](https://example.org/x)", None),
        ("[a](http://127.0.0.1:8082)", None),
        ("[a](gone.md)", "there is no such file"),
        ("[a](there.md#gone)", "there.md has no heading of that name"),
        ("[a](#gone)", "page.md has no heading of that name"),
        (
            "[a](source.py#gone)",
            "source.py has no gone; give one of Thing, Thing.method, outer, or a variable in one",
        ),
        ("[a](../../etc/passwd)", "leads out of the repository"),
        ("[a](https://example/x)", "names no host"),
        ("[a](htp://example.org)", "has the scheme htp; give http, https or mailto"),
        ("[a](folder#x)", "only Markdown and Python files have places to link to"),
    ],
)
def test_a_broken_link_is_told(tmp_path, source, link, problem):
    (tmp_path / "there.md").write_text("## A heading\n")
    (tmp_path / "folder").mkdir()
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{link}\n")
    found = next(found for found in found_in(tmp_path) if found.file == page)
    assert found.line == 3
    told = problem_of(found, tmp_path)
    assert told == problem if problem is None else told.startswith(problem)


def test_the_command_names_file_and_line_and_fails(tmp_path, monkeypatch, capsys):
    (tmp_path / "page.md").write_text("x\n\n[a](gone.md)\n")
    monkeypatch.setattr(check_links, "REPOSITORY", tmp_path)
    monkeypatch.setattr(sys, "argv", ["check_links"])
    assert check_links.main() == 1
    assert capsys.readouterr().out == f"{tmp_path}/page.md:3: gone.md: there is no such file\n"


def test_commands_are_found_in_blocks_and_lines():
    text = (
        "Say `python cli.py status --verify` or\n\n```bash\npython cli.py run --task A \\\n  --set b=c   # why\n"
        "A=1 python cli.py plan\nls\n```\n\n```yaml\npython cli.py no\n```\n"
    )
    assert commands_of(text) == [["run", "--task", "A", "--set", "b=c"], ["plan"], ["status", "--verify"]]


class TestTree:
    """The files outside docs/ as pages."""

    @pytest.fixture
    def repository(self, tmp_path, source):
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/page.md").write_text(
            "[s](../source.py#Thing)\n\nsee [r](../README.md) and [d](../box)\n"
        )
        (tmp_path / "README.md").write_text("[back](docs/page.md#x), ![p](box/p.png), [l](LICENSE)\n")
        (tmp_path / "box").mkdir()
        (tmp_path / "box/p.png").write_bytes(b"picture")
        (tmp_path / "LICENSE").write_text("free <all>\n")
        return tmp_path

    def test_every_file_that_is_linked_to_is_a_page_also_through_others(self, repository):
        pages = dict(Tree(repository).pages([repository / "docs/page.md"]))
        assert set(pages) == {
            "tree/source.py.md",
            "tree/README.md",
            "tree/box/index.md",
            "tree/box/p.png",
            "tree/LICENSE.md",
        }
        assert pages["tree/box/p.png"] == b"picture"
        assert "free &lt;all&gt;" in pages["tree/LICENSE.md"]
        assert 'id="line-19"' in pages["tree/source.py.md"]

    def test_links_lead_to_these_pages_and_code_is_shown_under_a_link_of_its_own(self, repository):
        tree = Tree(repository)
        text = tree.on_the_site((repository / "docs/page.md").read_text(), "page.md")
        assert text.startswith("[s](tree/source.py.md#line-19)\n{: .quoted }\n")
        assert "Thing" in text and "One." not in text
        assert "see [r](tree/README.md) and [d](tree/box/index.md)" in text
        outside = "[a name](https://example.org/source.py#made)\n"
        assert tree.on_the_site(outside, "page.md") == outside
        readme = tree.on_the_site((repository / "README.md").read_text(), "tree/README.md")
        assert readme == "[back](../page.md#x), ![p](box/p.png), [l](LICENSE.md)\n"

    def test_a_link_to_nothing_ends_the_build(self, repository):
        page = repository / "docs/page.md"
        page.write_text("[a](../gone.py)")
        with pytest.raises(BrokenLink, match=r"^docs/page.md links to ../gone.py, which is not there$"):
            dict(Tree(repository).pages([page]))

    def test_code_that_is_gone_ends_the_build(self, repository):
        with pytest.raises(NotThere, match=r"^source.py has no gone; "):
            Tree(repository).on_the_site("[s](../source.py#gone)\n", "page.md")


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers /404 with 404, and so on."""

    def do_GET(self) -> None:
        """With the code that the path names."""
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_address_on_the_web_is_broken_where_it_is_gone_and_not_where_programs_are_refused():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_port}"
        told = {code: check_links.unreachable(f"{there}/{code}") for code in (200, 403, 404, 429)}
        server.shutdown()
    assert told == {200: None, 403: None, 404: "answers 404 Not Found", 429: None}
    assert check_links.unreachable(there + "/200").startswith("cannot be reached: ")
