"""Commands that measure and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, messages, print_json
from pipelines.commands.options import Split


def evaluate(
    samples: str = options.SAMPLES,
    reference: str = options.REFERENCE,
    extractor: str = options.EXTRACTOR,
    metrics: str = options.METRICS,
    split: Optional[Split] = options.SPLIT,
    settings: list[str] = options.SET_EVALUATION,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Measure images from anywhere against others: Fréchet distance, KID, precision, recall and more.

    Nothing is trained and no config is needed:

    python cli.py evaluate --samples FOLDER --reference cifar10 --split test --extractor inception:GRAPH.tgz
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.commands.display import show_evaluation
        from pipelines.commands.watching import Watcher, shown
        from pipelines.interruption import Interruption
        from pipelines.judging import foreign

        names = tuple(name.strip() for name in metrics.split(",") if name.strip()) or None
        wanted = foreign.Wanted(samples, reference, extractor, names, split and split.value, settings, root)
        with Interruption(), shown("evaluate", messages) as tell:
            found = foreign.evaluate(wanted, lambda journal: Watcher(journal, messages), tell)
        if as_json:
            print_json({"status": "done", "exit_code": 0, **found})
        else:
            show_evaluation(found, data)


def statistics(
    images: str = options.IMAGES,
    out: Path = options.OUT,
    extractor: str = options.EXTRACTOR,
    split: Optional[Split] = options.SPLIT,
    settings: list[str] = options.SET_EVALUATION,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Write mean and covariance of images' features as the .npz of mu and sigma that FID programs exchange.

    Such a file is a --reference of evaluate, which then need not measure the same images each time.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.commands.watching import Watcher, shown
        from pipelines.interruption import Interruption
        from pipelines.judging import foreign

        wanted = foreign.Wanted(images, images, extractor, None, split and split.value, settings, root)
        with Interruption(), shown("statistics", messages) as tell:
            made = foreign.write_statistics(wanted, out, lambda journal: Watcher(journal, messages), tell)
        told = {"file": out, "images": made.count, "extractor": made.identity and made.identity.as_json()}
        if as_json:
            print_json({"status": "done", "exit_code": 0, **told})
        else:
            data.print(f"{out}: mu and sigma of {made.count} images", highlight=False, soft_wrap=True)


def compare(
    runs: list[str] = options.RUNS,
    row: str = options.ROW,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Set judged runs side by side: the settings that differ, and the metrics of those that were measured alike."""
    with errors_as_lines(None, as_json, debug):
        from pipelines.commands.display import show_comparison
        from pipelines.judging import comparison
        from pipelines.judging.judged import load_runs

        compared = comparison.compare(load_runs(runs, root, row))
        if as_json:
            print_json({"status": "done", "exit_code": 0, "row": row, **comparison.as_json(compared)})
        else:
            show_comparison(compared, data)
