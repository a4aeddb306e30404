"""Section A and the main paper's numbers: verdicts follow the numbers, and nothing is compared that cannot be."""

import copy

import pytest

from ebm_tf.studies.claims_of_images import MAIN, Numbers, rows
from ebm_tf.studies.rules import FAILS, HOLDS, INCOMPARABLE, NOT_RUN, OPEN
from tests.studies.made_up import judged, over


def numbers(**changes):
    """What a run on the digits might find; a change is a value by its place: fid__frechet_distance__fresh=3."""
    found = {
        "dataset": "digits",
        "fid": {
            "protocol": {"extractor": {"name": "classifier"}},
            "frechet_distance": {"fresh": 2.5},
            "inception_score": {"fresh": 9.0},
            "precision": {"fresh": 0.95, "real_test": 0.96},
            "intervals": {
                "fresh": {
                    "frechet_distance": [1.5, 3.5], "inception_score": [8.5, 9.5], "precision": [0.93, 0.97],
                }
            },
        },
        "compared": {
            "models": {
                "ebm": {"seconds": 160.0, "frechet_distance": 2.5, "intervals": {"frechet_distance": [2, 3]}},
                "sngan": {"seconds": 150.0, "frechet_distance": 5.0, "intervals": {"frechet_distance": [4, 6]}},
            },
            "better": {"frechet_distance": "ebm"},
            "told_apart": {"frechet_distance": True},
        },
        "neighbours": {
            "share_nearer_than_percentile_test": 0.05, "share_interval": {"low": 0.04, "high": 0.06},
            "percentile": 5.0, "sample_to_train_mean": 1.0, "test_to_train_mean": 1.06,
        },
        "ood": {"sets": {"test": {}, "train": {"auroc": 0.4}, "uniform_noise": {"auroc": 1.0}}},
        "composed": None,
        "truncation": {"with L_KL": over(), "with L_KL, all steps": over(judged=judged("frechet_distance", 6, 7, 8))},
    }  # fmt: skip
    for place, value in changes.items():
        *path, last = place.split("__")
        inner = found
        for key in path:
            inner = inner[key]
        inner[last] = copy.deepcopy(value)
    return Numbers(**found)


def row(words, **changes):
    (found,) = [each for each in rows(numbers(**changes)) if words in each.claim]
    return found


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.04, 0.06, HOLDS), (0.15, 0.2, FAILS), (0.05, 0.12, OPEN), (0.0, 0.1, HOLDS)],
)
def test_distinct_from_the_training_set(low, high, expected):
    found = row("distinct", neighbours__share_interval={"low": low, "high": high})
    assert found.verdict == expected
    assert f"[{low:.1%}, {high:.1%}]" in found.ours


@pytest.mark.parametrize(
    ("better", "apart", "seconds", "expected"),
    [
        ("ebm", True, 160.0, HOLDS),
        ("sngan", True, 160.0, FAILS),
        ("ebm", False, 160.0, OPEN),
        ("ebm", None, 160.0, OPEN),
        ("ebm", True, 300.0, OPEN),  # better, and twice the time
        ("sngan", True, 300.0, FAILS),  # worse in spite of twice the time
    ],
)
def test_against_the_sngan(better, apart, seconds, expected):
    found = row(
        "than an SNGAN",
        compared__better__frechet_distance=better,
        compared__told_apart__frechet_distance=apart,
        compared__models__ebm__seconds=seconds,
    )
    assert found.verdict == expected
    assert (
        found.ours
        == f"2.50 [2.00, 3.00] against 5.00 [4.00, 6.00]; {seconds:.0f} s against 150 s of training"
    )


@pytest.mark.parametrize(
    ("interval", "expected"), [([0.87, 0.97], HOLDS), ([0.5, 0.6], FAILS), ([0.8, 0.9], OPEN)]
)
def test_coherent(interval, expected):
    assert row("coherent", fid__intervals__fresh__precision=interval).verdict == expected


def test_pictures_are_not_compared():
    found = [each for each in rows(numbers(dataset="cifar10")) if each.claim.startswith("Picture")]
    assert [each.verdict for each in found] == [INCOMPARABLE] * 3
    assert ["of other images" in each.why for each in found] == [True, False, True]


def test_no_number_of_the_paper_is_compared_with_other_images_or_other_features():
    for each in rows(numbers()):
        if each.claim.startswith(("FID", "Inception", "AUROC")):
            assert each.verdict == INCOMPARABLE
            assert "of digits" in each.why
    found = row("Inception Score on CIFAR-10", dataset="cifar10")
    assert found.verdict == INCOMPARABLE
    assert found.why == "Because ours is in features of classifier, not of the reference Inception network."


@pytest.mark.parametrize(
    ("words", "place", "value", "interval", "expected"),
    [
        ("FID on CIFAR-10", "frechet_distance", 25.0, [24.0, 26.0], HOLDS),
        ("FID on CIFAR-10", "frechet_distance", 20.0, [19.0, 21.0], HOLDS),
        ("FID on CIFAR-10", "frechet_distance", 40.0, [39.0, 41.0], FAILS),
        ("Inception Score on CIFAR-10", "inception_score", 7.8, [7.7, 7.9], HOLDS),
        ("Inception Score on CIFAR-10", "inception_score", 6.0, [5.9, 6.1], FAILS),
    ],
)
def test_the_papers_numbers_on_its_images_in_its_features(words, place, value, interval, expected):
    changes = {f"fid__{place}__fresh": value, f"fid__intervals__fresh__{place}": interval}
    found = row(words, dataset="cifar10", fid__protocol__extractor__name="inception", **changes)
    assert found.verdict == expected


def test_numbers_of_mnist_are_those_of_the_truncation_study():
    inception = {"dataset": "mnist", "fid__protocol__extractor__name": "inception"}
    assert row("through one step", **inception).ours.startswith("5.00")
    found = row("FID on MNIST, L_KL through all steps", **inception)
    assert found.ours.startswith("7.00 [")
    assert found.verdict == HOLDS, "less than 94.85"


def test_bedrooms_need_both_models():
    bedrooms = {"dataset": "lsun/bedroom", "fid__protocol__extractor__name": "inception"}
    assert row("FID of the SNGAN", **bedrooms).ours == "5.00 [4.00, 6.00]"
    assert row("FID of the energy model", **bedrooms).verdict == HOLDS


@pytest.mark.parametrize(("auroc", "expected"), [(0.906, HOLDS), (0.9, FAILS), (0.95, HOLDS)])
def test_detection(auroc, expected):
    sets = {"test": {}, "svhn_cropped": {"auroc": auroc}}
    found = row("svhn_cropped", dataset="cifar10", ood__sets=sets)
    assert (found.place, found.verdict, found.ours) == (MAIN, expected, f"{auroc:.3f}")
    assert row("dtd", dataset="cifar10", ood__sets=sets).verdict == INCOMPARABLE


def rate(value, low, high):
    return {"rate": value, "low": low, "high": high}


def composed(operation, whole, alone, labels=(0.4, 0.4)):
    rows = [
        {"name": "a and b", "success": whole, "members": [rate(value, 0, 1) for value in labels]},
        *({"name": name, "success": each, "members": []} for name, each in zip("ab", alone)),
        {"name": "real test images", "success": rate(1.0, 1.0, 1.0), "members": []},
    ]
    return {"operation": operation, "members": ["a", "b"], "rows": rows}


@pytest.mark.parametrize(
    ("operation", "whole", "labels", "expected"),
    [
        ("and", rate(0.43, 0.36, 0.5), (0.5, 0.5), HOLDS),
        ("and", rate(0.2, 0.1, 0.3), (0.5, 0.5), OPEN),
        ("and", rate(0.05, 0.01, 0.1), (0.5, 0.5), FAILS),
        ("or", rate(0.97, 0.93, 0.99), (0.3, 0.7), HOLDS),
        ("or", rate(0.97, 0.93, 0.99), (0.97, 0.0), OPEN),  # one of the two alone
        ("or", rate(0.1, 0.05, 0.2), (0.05, 0.05), FAILS),
    ],
)
def test_composition(operation, whole, labels, expected):
    alone = [rate(0.18, 0.13, 0.23), rate(0.06, 0.04, 0.1)]
    found = row("put together", composed=composed(operation, whole, alone, labels))
    assert found.verdict == expected
    assert "real test images" not in found.ours


def test_without_a_composition_nothing_is_said_of_it():
    assert row("put together").verdict == NOT_RUN
    assert row("put together", composed=composed("and", None, [None, None])).verdict == OPEN
