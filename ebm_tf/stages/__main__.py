"""`python -m ebm_tf.stages NAME --spec SPEC.json --out FOLDER`: run one stage in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TextIO

from ebm_tf.errors import EBMError, as_one_line
from ebm_tf.memory import peak_mib
from ebm_tf.stages.context import Context, claim_stdout, error_event, say

STAGES = {
    "PrepareDataset": "prepare_dataset",
    "ShowAugmentations": "show_augmentations",
    "TrainFeatureExtractor": "train_feature_extractor",
    "ImportFeatureExtractor": "import_feature_extractor",
    "ReferenceStatistics": "reference_statistics",
    "BaselineStatistics": "baseline_statistics",
    "TrainEBM": "train_ebm",
    "JoinTraining": "join_training",
    "TrainSNGAN": "train_sngan",
    "DrawSamples": "draw_samples",
    "GenerateSamples": "generate_samples",
    "RetrieveNeighbours": "retrieve_neighbours",
    "MeasureShard": "measure_shard",
    "EvaluateFID": "evaluate_fid",
    "CompareModels": "compare_models",
    "EvaluateOOD": "evaluate_ood",
    "ComposeModels": "compose_models",
    "JudgeTraining": "judge_training",
    "StudyNoiseInit": "study_noise_init",
    "StudyTruncation": "study_truncation",
    "StudyCollapse": "study_collapse",
    "ExportModel": "export_model",
    "Report": "report",
    "ReproducePaper": "reproduce_paper",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ebm_tf.stages", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file that the pipeline wrote")
    parser.add_argument("--out", type=Path, required=True, help="empty folder for the artifact's files")
    parser.add_argument(
        "--parent", type=int, help="process without which this one stops (default: its parent)"
    )
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # an exception in the middle of anything would end in other errors
    channel = claim_stdout()
    _end_with_parent(options.parent or os.getppid())
    try:
        return _told(options, channel)
    except BrokenPipeError:  # nobody listens: the parent is gone, and with it who would publish
        return 1


def _told(options: argparse.Namespace, channel: TextIO) -> int:
    """Run the stage, and tell the parent of an error; returns the exit code."""
    try:
        context = Context.read(options.spec, options.out, channel)
        _run(options.stage, context)
        context.say({"event": "ended", "peak_memory_mib": round(peak_mib(), 1)})
    except Exception as error:
        shown = as_one_line(error)
        say(channel, error_event(shown))
        if type(shown) is EBMError and shown is not error:  # nothing that a user could mend
            traceback.print_exc()
        return shown.exit_code
    return 0


def _run(stage: str, context: Context) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ebm_tf import devices

    devices.configure(context.compute)
    importlib.import_module(f"ebm_tf.stages.{STAGES[stage]}").run(context)


def _end_with_parent(parent: int) -> None:
    """Stop at once when the parent is gone: nobody would publish what this process makes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        if os.getpgrp() == os.getpid():  # with all that this process has started
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
