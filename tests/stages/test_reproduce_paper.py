"""ReproducePaper on results that nobody measured: the page, its words, and that nothing of the paper is left out."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config_files import load_experiment
from ebm_tf.stages import reproduce_paper
from ebm_tf.studies.claims_of_studies import CLAIMS
from ebm_tf.studies.design import STUDIES
from ebm_tf.studies.rules import FAILS, HOLDS, VERDICTS
from tests.stages.running import run_stage
from tests.stores import write_store
from tests.studies.made_up import FLAT, REAL, over
from tests.studies.test_claims_of_images import composed, numbers, rate

IMAGES = np.zeros((4, 8, 8, 1), np.uint8)
PLACES = {
    "S A.1": 1, "S A.2": 3, "S A.3": 4, "S B.1": 3, "S B.2": 2, "S C": 1, "S D.1": 2, "S D.2": 4, "S D.3": 3,
    "main paper": 8,
}  # fmt: skip
"""Rows of each section of the supplementary: tables 1 and 2, figures 1 to 8, and the claims of its text."""


def cases_of(study, experiment):
    """Three seeds of each case, none of which collapsed."""
    return {case.title: over() for case in STUDIES[study](experiment.langevin, experiment.studies)}


@pytest.fixture
def report(tmp_path):
    """Run the stage; returns its folder and metrics."""

    def run(composition=None, studies=None):
        experiment, images = load_experiment("digits"), numbers()
        fid = {**images.fid, "protocol": {"extractor": {"name": "classifier", "sha256": "c" * 64}}}
        written = {
            "EvaluateFID": fid,
            "CompareModels": images.compared,
            "RetrieveNeighbours": images.neighbours,
            "EvaluateOOD": images.ood,
            "TrainEBM": {"steps": 8000, "parameters": 26080},
            "PrepareDataset": {},
            "GenerateSamples": {},
            **({} if composition is None else {"ComposeModels": composition}),
        }
        for study in STUDIES:
            cases = (studies or {}).get(study) or cases_of(study, experiment)
            written[study] = {
                "cases": cases,
                "claims": [row._asdict() for row in CLAIMS[study](cases, REAL, 0.95)],
                "seeds": [0, 1, 2],
                "planned_steps": 100,
                "confidence": 0.95,
                "seconds": {"with L_KL, seed 0": 60.0, f"{study}, seed 0": 30.0},
            }
        inputs = {}
        for number, (task, metrics) in enumerate(written.items()):
            inputs[task] = tmp_path / task
            inputs[task].mkdir()
            record = {
                "fingerprint": f"{number:064x}",
                "started": "2024-05-01",
                "seconds": 10.0,
                "git_revision": None,
            }
            (inputs[task] / "params.json").write_text(json.dumps(record))
            (inputs[task] / "metrics.json").write_text(json.dumps(metrics))
        inputs["ebm"] = inputs["EvaluateFID"]  # one artifact by two names
        write_store(inputs["PrepareDataset"], {"train": IMAGES, "test": IMAGES}, name="digits")
        for place in reproduce_paper.PICTURES:
            task, file = place.split("/")
            if task in inputs:
                Image.new("RGB", (20, 10), "white").save(inputs[task] / file)
        out, _ = run_stage("ReproducePaper", tmp_path, inputs, **dict(experiment))
        return out, json.loads((out / "metrics.json").read_text())

    return run


class Page(HTMLParser):
    """The text of a page, what it loads, and the tags that are open."""

    def __init__(self, text):
        super().__init__()
        self.words, self.loaded, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "tr", "th", "td", "li"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("tr", "th", "td", "li"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_every_section_of_the_supplementary_has_its_rows(report):
    _, metrics = report()
    claims = metrics["claims"]
    found = {place: sum(claim["place"].startswith(place) for claim in claims) for place in PLACES}
    assert found == PLACES
    assert len(claims) == sum(PLACES.values())
    named = " ".join(claim["place"] for claim in claims)
    assert {*re.findall(r"figure (\d)", named)} == set("12345678")  # 3 to 5 also each by itself
    assert {*re.findall(r"table (\d)", named)} == set("12")
    for claim in claims:
        assert claim["verdict"] in VERDICTS
        assert all(claim[part] for part in ("claim", "paper", "ours", "why"))
    assert metrics["counts"] == {
        verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS
    }


def test_the_papers_values_stand_beside_ours(report):
    _, metrics = report()
    papers = " ".join(claim["paper"] for claim in metrics["claims"])
    for value in ("33.46", "64.05", "90.54", "94.85", "over 3 times", "0.001", "500", "1000", "7.85", "0.91"):
        assert value in papers


def test_the_page_stands_by_itself_with_every_picture(report):
    out, metrics = report()
    page = Page((out / "report.html").read_text())
    assert page.open == []
    pictures = [
        place for place in reproduce_paper.PICTURES if not place.startswith(("Compose", "ReferenceS"))
    ]
    assert len(page.loaded) == len(pictures)
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    text = " ".join(page.words)
    for claim in metrics["claims"]:
        assert claim["ours"] in text
        assert claim["why"] in text


def test_what_holds_and_what_does_not_is_said_in_so_many_words(report):
    out, metrics = report()
    for name in ("report.html", "report.md", "summary.txt"):
        text = (out / name).read_text()
        above = text.split("very table, figure and claim")[0]
        for claim in metrics["claims"]:
            if claim["verdict"] in (HOLDS, FAILS):
                assert claim["claim"] in above, name


def test_the_markdown_has_a_row_of_six_cells_for_each_claim(report):
    out, metrics = report()
    table = (
        (out / "report.md").read_text().split("very table, figure and claim")[1].split("## The studies")[0]
    )
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(metrics["claims"])
    assert {row.count(" | ") for row in rows} == {5}


def test_what_is_found_decides(report, tmp_path):
    """The same page with trainings that collapse without L_KL."""
    collapsed = {**cases_of("StudyCollapse", load_experiment("digits")), "without L_KL": over(judged=FLAT)}
    _, metrics = report(studies={"StudyCollapse": collapsed})
    (claim,) = [each for each in metrics["claims"] if "always collapses" in each["claim"]]
    assert (claim["verdict"], claim["ours"]) == (HOLDS, "3 of 3 seeds collapsed")


def test_time_counts_what_is_shared_once(report):
    """Ten artifacts of ten seconds; a training that three studies share, and one of each by itself."""
    _, metrics = report()
    assert metrics["seconds"] == 10 * 10 + 60 + 3 * 30


def test_a_composition_has_its_row_and_its_picture(report):
    found = composed("and", rate(0.43, 0.36, 0.5), [rate(0.18, 0.13, 0.23), rate(0.06, 0.04, 0.1)])
    out, metrics = report(composition=found)
    (claim,) = [each for each in metrics["claims"] if "put together" in each["claim"]]
    assert claim["verdict"] == HOLDS
    assert "Samples of energies put together" in (out / "report.html").read_text()
