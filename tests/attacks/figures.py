"""Made-up results of runs: figures like those of trained runs, some of them extreme."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.comparison.answer import scale
from pipeline.datasets import Language, Summary, Target
from pipeline.losses import LOSSES
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import Figures as TestFigures
from pipeline.runs.metric import network_figures
from pipeline.runs.params import Params, check_budget
from pipeline.runs.records import Record, Stable
from pipeline.runs.run import Run
from pipeline.sweep.auto import Auto
from tests.attacks.settings import Project, projects

KINDS = ("normal", "same", "perfect", "tails", "diverged", "some diverged", "dead", "huge", "tiny", "at once")
"""Ways in which the runs of a group can end."""


@dataclass(frozen=True)
class Figures:
    """Made-up results of a sweep whose runs were never trained."""

    project: Project
    kinds: list[str]
    """One of `KINDS` for each group, in the order of the groups; a short list is repeated."""
    examples: int
    """The number of test examples."""
    stable: dict[str, Stable]
    number: int
    """The seed of the random figures."""

    @cached_property
    def params(self) -> Params:
        """The parameters of the sweep."""
        return Params.model_validate(self.project.content)

    @property
    def summary(self) -> Summary:
        """A summary of the sweep's data."""
        task = self.params.run_task
        classes = ["no", "yes"] if LOSSES[task.loss].has_classes else []
        sizes = {"train": 1000, "val": 10, "test": self.examples}
        target = Target("y", 2.0, 0.0 if self.examples == 1 else 3.0) if task.loss == "mean-squared-error" else None
        language = Language(2.0, 1.0) if task.loss == "next-token" else None
        return Summary("some", {}, task.dataset.kind, "", "", classes, 1, [2], 5, sizes, {}, target, language)

    def results(self) -> list[tuple[Record, TestFigures]]:
        """Return the sweep's records and their test figures; with `seeds: auto`, a race decides which runs there are.

        Raises:
            UserError: the settings contradict each other, or the figures cannot be compared.
        """
        params = self.params
        if params.run_seeds is None:
            check_budget(params)
        runs = params.runs(1000)
        place = {group: number for number, group in enumerate(dict.fromkeys(run.group for run in runs))}

        def train(of: Sequence[Run]) -> list[Record]:
            return [self._run(run, self.kinds[place[run.group] % len(self.kinds)]) for run in of]

        def score(records: Sequence[Record]) -> list[TestFigures]:
            return [_score(record) for record in records]

        if params.run_seeds is not None:
            records = train(runs)
        else:
            how = scale(params.run_metric, params.run_margin, self.examples)
            auto = Auto(params.baseline, how, params.run_budget, train, score, lambda line: None)
            records = auto([run for run in runs if run.seed == runs[0].seed])
        return list(zip(records, score(records), strict=True))

    def _run(self, run: Run, kind: str) -> Record:
        random = np.random.default_rng([self.number, zlib.crc32(run.group.encode()), run.seed])
        loss = {"same": 0.25, "perfect": 0.0, "huge": 2e38, "tiny": 1e-45}.get(kind, 0.5 + 0.01 * random.normal())
        if kind == "tails" and random.random() < 0.2:
            loss = 100.0
        accuracy = round(max(0.0, 1 - loss), 2) if LOSSES[run.workload.loss].has_classes else None
        numbers = [
            epoch for epoch in range(1, run.epochs + 1) if epoch % run.workload.record_every == 0 or epoch == run.epochs
        ]
        noise = (0.0 if kind in ("same", "dead") else 0.1) * random.normal(size=run.epochs)
        epochs = [
            Epoch.of_network(epoch, run.lr if epoch % 2 else 0.0, loss, loss * (1 + float(noise[epoch - 1])), accuracy)
            for epoch in numbers
        ]
        if kind == "dead":
            return Record(run, "dead", epochs[:1], "cpu", "2", run.name)
        if kind in ("diverged", "at once") or (kind == "some diverged" and random.random() < 0.5):
            end = Epoch.of_network(1 if kind == "at once" else epochs[-1].epoch, run.lr, math.inf, math.nan, accuracy)
            return Record(run, "diverged", [*([] if kind == "at once" else epochs[:-1]), end], "cpu", "2", run.name)
        return Record(run, "finished", epochs, "cpu", "2", run.name)


def _score(record: Record) -> TestFigures:
    last = record.last
    loss = math.nan if record.outcome == "diverged" else last.figures["val_loss"]
    return network_figures(loss, last.val_accuracy)


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    """Made-up results of any sweep."""
    project = draw(projects())
    project.content["tasks"]["attacked"]["epochs"] = draw(st.sampled_from([1, 2, 3, 40]))
    try:
        Params.model_validate(project.content)
    except ValidationError:
        reject()
    ends = st.sampled_from([5e-324, 1e-6, 0.05, 10.0, 1e30])
    stable = st.builds(Stable, ends, st.one_of(st.none(), ends), st.lists(ends, min_size=1, max_size=3))
    return Figures(
        project,
        draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)),
        draw(st.sampled_from([1, 6, 450])),
        draw(st.dictionaries(st.sampled_from([*project.content["optimizers"]]), stable)),
        draw(st.integers(0, 1000)),
    )
