"""A worker's reports about the runs that it is training."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from pipeline.datasets import Summary
from pipeline.sweep.checkpoint import Checkpoint
from pipeline.sweep.run_progress import EVERY, ActiveRun, Reporter, RunProgress
from pipeline.training.loop import train
from pipeline.training.state import Training
from pipeline.training.training_set import read_splits
from tests.sweep.sweeping import runs


def test_every_epoch_is_reported_once_and_reports_are_rare(digits: Path, summary: Summary, tmp_path: Path) -> None:
    """A stack of two runs reports at the start and then every `EVERY` seconds; a batch takes a tenth of that time."""
    of = runs(scheduler=["cosine", "step"], seeds=1, epochs=3)
    together = [
        ActiveRun(run.name, Training(run, summary, torch.device("cpu")), Checkpoint(tmp_path / run.name), [])
        for run in of
    ]
    now, sent = [0.0], list[tuple[float, Sequence[RunProgress]]]()
    reporter = Reporter(together, lambda reports: sent.append((now[0], reports)), lambda: now[0])

    def before_batch() -> None:
        reporter.report()
        now[0] += EVERY / 10

    split, val = read_splits(digits, of[0].workload)
    recorded = [
        (training.run.name, epoch)
        for training, epoch in train([a.training for a in together], split, val, before_batch)
    ]
    times = [time for time, _ in sent]
    assert times[0] == 0.0
    assert all(later - earlier >= EVERY * 0.999 for earlier, later in pairwise(times))
    for run in of:
        reported = [report for _, reports in sent for report in reports if report.name == run.name]
        assert [report.done for report in reported] == sorted(report.done for report in reported)
        assert reported[0].done == 0.0
        assert 2.0 < reported[-1].done < 3.0
        epochs = [epoch for report in reported for epoch in report.epochs]
        assert (
            epochs == [epoch for name, epoch in recorded if name == run.name][:2]
        )  # the last epoch is part of the result


def test_a_resumed_run_reports_the_epochs_of_its_checkpoint(digits: Path, summary: Summary, tmp_path: Path) -> None:
    (run,) = runs(scheduler="cosine", seeds=1, epochs=2)
    training = Training(run, summary, torch.device("cpu"))
    split, val = read_splits(digits, run.workload)
    _, first = next(train([training], split, val))
    sent: list[RunProgress] = []
    Reporter([ActiveRun("f", training, Checkpoint(tmp_path), [])], sent.extend).report()
    assert [list(report.epochs) for report in sent] == [[first]]
