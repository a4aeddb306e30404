"""The report of the benchmarks, made of results that nobody measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import report
from benchmarks.figure import bars
from benchmarks.machine import described, in_words
from benchmarks.tables import MARK, NOTE_OF_MARK, Table, mark_if_wide, milliseconds_in_words, ratio_in_words
from benchmarks.yardstick import tables
from ebm_tf.errors import MissingInput
from tests.benchmarks.made_up import MACHINE, results, yardstick


def _cells(text: str, title: str) -> list[list[str]]:
    """The rows of the table below a heading, without the headings' row."""
    below = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in below.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_section_has_its_tables() -> None:
    text = report.as_markdown(results())
    assert _cells(text, "Against the yardstick")[0][:5] == [
        "2.00 (1.90 to 2.10)", "training iteration", "float32", "500", "1,000",
    ]  # fmt: skip
    assert _cells(text, "Digits: this version against revision 33aa83c")[0][0] == "3.00 (2.90 to 3.10)"
    assert _cells(text, "Scaling with K") == [["5", "1.00", "50.0", "900"], ["10", "2.00", "100", "900"]]
    assert _cells(text, "Back-propagation through more steps")[1][:4] == ["40", "3.50", "35.0", "2.50"]
    assert _cells(text, "Growth of memory over training") == [["+1.50", "2.00", "800", "801"]]
    assert _cells(text, "Memory of a run of the digits")[-1] == ["together", "1,000"]
    assert "50% of the convolution limit" in text
    assert _cells(text, "The convolution limit (32 filters, batch 32, 32x32, float32, lanes 2)")[0] == [
        "Conv2D",
        "75.0%",
        "120",
    ]


def test_what_it_was_measured_on_is_said_once_while_it_is_the_same() -> None:
    made = results()
    words = (
        "Measured on 2024-05-01 on Imaginary 9000, 2 cores (AVX2, AVX-512), 24 GiB of memory, Linux x86_64."
    )
    assert report.as_markdown(made).count(words) == 1
    assert "Revision 0123456789ab-dirty; python 3.11.7" in report.as_markdown(made)
    made["sections"]["memory"]["machine"] = {**MACHINE, "date": "2024-06-02T12:00:00+00:00"}
    assert "Measured on 2024-06-02" in report.as_markdown(made)


def test_a_quick_measurement_says_that_it_is_one() -> None:
    made = results()
    assert "--quick" not in report.as_markdown(made)
    for section in made["sections"].values():
        section["quick"] = True
    assert report.as_markdown(made).count("Measured with --quick: fewer and shorter runs.") == 1


def test_a_section_that_failed_says_why_and_the_others_stay() -> None:
    made = results()
    made["sections"]["parts"] = {"machine": MACHINE, "quick": False, "failed": "it ended with 3"}
    text = report.as_markdown(made)
    assert "## parts\n\nNot measured: it ended with 3" in text
    assert "## Scaling with K" in text


def test_without_the_yardstick_the_table_says_so_and_shows_ours() -> None:
    row = {**yardstick()["rows"][0], "ratio": None}
    found = yardstick(torch=None, not_run="torch==2.13.0 cannot be installed (no network)", rows=[row])
    against, _ = tables(found)
    assert "The yardstick was not run: torch==2.13.0 cannot be installed (no network)." in against.comparison
    assert against.rows[0] == (
        "not run",
        "training iteration",
        "float32",
        "500",
        "not run",
        "1,000",
        "not run",
    )
    assert bars({"yardstick": found}) == []


def test_laps_far_apart_are_marked_and_the_mark_explained() -> None:
    assert mark_if_wide([[1.0, 1.2], [2.0, 2.9]]) == ""
    assert mark_if_wide([[1.0, 1.2], [2.0, 3.0]]) == MARK
    text = report.as_markdown(results())
    assert _cells(text, "Parts")[0][1] == f"40.0{MARK}"
    assert text.count(NOTE_OF_MARK) == 1


def test_a_table_of_nothing_is_none() -> None:
    assert (
        Table("Title", "What.", ("a", "b"), ()).as_markdown() == "## Title\n\nWhat.\n\nNothing was measured."
    )


@pytest.mark.parametrize(
    ("milliseconds", "words"), [(0.1234, "0.123"), (9.876, "9.88"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_milliseconds_have_three_figures_or_are_whole(milliseconds: float, words: str) -> None:
    assert milliseconds_in_words(milliseconds) == words


def test_ratios_have_two_places() -> None:
    assert ratio_in_words(1.618, (1.5, 1.75)) == "1.62 (1.50 to 1.75)"
    assert ratio_in_words(None) == "not run"


def test_the_three_files_are_written_and_read_again(tmp_path: Path) -> None:
    made = results()
    report.write(made, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RESULTS.md", "RESULTS.png", "results.json"]
    assert report.read(tmp_path) == json.loads(json.dumps(made))
    assert (tmp_path / "RESULTS.md").read_text() == report.as_markdown(made)
    with Image.open(tmp_path / "RESULTS.png") as picture:
        assert picture.size[0] > picture.size[1] > 300


def test_a_figure_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    report.write({"sections": {}}, tmp_path)
    assert (tmp_path / "RESULTS.png").stat().st_size > 0


def test_the_figure_has_a_bar_for_each_ratio() -> None:
    found = {name: section["found"] for name, section in results()["sections"].items()}
    assert [(bar.ratio, bar.least, bar.largest) for bar in bars(found)] == [
        (2.0, 1.9, 2.1), (1.0, 0.9, 1.1), (3.0, 2.9, 3.1),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, "{", '{"sections": 3}', "[]"])
def test_results_that_cannot_be_read_are_called_by_their_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(MissingInput, match=r"cannot read .*results\.json .*make it by python -m benchmarks"):
        report.read(tmp_path)


def test_a_machine_whose_vectors_are_not_known_is_described_all_the_same() -> None:
    assert "(vector instructions not known)" in in_words({**MACHINE, "vectors": None})
    assert "1 core (no vector instructions)" in in_words({**MACHINE, "vectors": [], "cores": 1})


def test_this_machine_can_be_described() -> None:
    made = described()
    assert made["cores"] >= 1
    assert made["memory_gib"] > 0
    assert "tensorflow" in made["versions"]
    assert "GiB of memory" in in_words(made)
