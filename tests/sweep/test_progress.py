"""The progress of a sweep as it is rendered, on a clock that the tests set."""

import io
import re
from dataclasses import dataclass

import pytest
from rich.console import Console

from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.sweep.news import News
from pipeline.sweep.progress import QUIET_SECONDS, Display, Estimate
from tests.helpers.project import load

EPOCHS = 10
NEWS = [
    News("step-s3", "fingerprint", 0.0, 3.5, [Epoch(2, 0.1, 0.6, 0.7, 0.8), Epoch(3, 0.05, 0.4, 0.5, 0.9)]),
    News("step-s4", "fingerprint", 0.0, 1.5, []),
]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A display, the console it prints to, and the sweep it shows: one worker, a second an epoch."""

    def __init__(self, runs: int, terminal: bool) -> None:
        self.clock = Clock()
        self.file = io.StringIO()
        self.runs = load(scheduler="step", seeds=runs, **{"tasks__digits-mlp__epochs": EPOCHS}).runs()
        console = Console(file=self.file, force_terminal=terminal, width=100, _environ={})
        self.display = Display(console, self.runs, 1, self.clock)
        self.epochs = 0

    def cached(self, run: Run) -> None:
        self.epochs += EPOCHS
        self.display.update([], self.epochs, record(run), 5.0, cached=True)

    def train(self, run: Run, outcome: str = "finished", val_loss: float = 0.5) -> None:
        for _ in range(EPOCHS):
            self.clock.now += 1
            self.epochs += 1
            self.display.update([[run]], self.epochs)
        self.display.update([], self.epochs, record(run, outcome, val_loss), float(EPOCHS))

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    @property
    def last_frame(self) -> list[str]:
        """The terminal before the display removed itself."""
        frames = re.split(r"(?=runs [^\n]*━)", CONTROL.sub("", self.file.getvalue()))
        return [line.rstrip() for line in frames[-1].splitlines()]


def record(run: Run, outcome: str = "finished", val_loss: float = 0.5) -> Record:
    epochs = [Epoch(EPOCHS, 0.1, 0.4, val_loss, 0.9)]
    return Record(run, outcome, epochs, "cpu", "2", "fingerprint")  # type: ignore[arg-type]


def test_plain_lines_tell_of_every_run() -> None:
    screen = Screen(runs=3, terminal=False)
    with screen.display:
        screen.cached(screen.runs[0])
        screen.train(screen.runs[1])
        screen.train(screen.runs[2], "diverged")
    assert screen.lines == [
        "training 3 runs, 30 epochs in all, in 1 process",
        "[1/3] step-s0              val loss 0.5000  val accuracy 0.9000   cached",
        "[2/3] step-s1              val loss 0.5000  val accuracy 0.9000   10.0 s  0:10 left",
        "[3/3] step-s2              diverged in epoch 10   10.0 s",
    ]


def test_plain_lines_tell_the_progress_of_a_long_run() -> None:
    screen = Screen(runs=2, terminal=False)
    with screen.display:
        for epochs in (0, 1):
            screen.clock.now += QUIET_SECONDS + 1
            screen.display.update([[screen.runs[0]]], epochs)
            screen.display.update([[screen.runs[0]]], epochs)
    left = f"{2 * 31 * 19 // 60}:{2 * 31 * 19 % 60:02} left"
    assert screen.lines[1:] == ["0 of 20 epochs  step-s0", f"1 of 20 epochs  step-s0  {left}"]


def test_a_stack_is_one_line_with_the_means_of_its_losses() -> None:
    screen = Screen(runs=3, terminal=False)
    with screen.display:
        screen.clock.now += QUIET_SECONDS + 1
        stack = [
            News(run.name, "fingerprint", 0.0, 2.0, [Epoch(2, lr, 0.3, 0.1 + lr, None)])
            for run, lr in zip(screen.runs[:2], (0.1, 0.2), strict=True)
        ]
        screen.display.update([screen.runs], 4, news=stack)
    text = "step-s0 and 2 more: epoch 3 of 10, train loss 0.3000, val loss 0.2500, lr 0.1 to 0.2"
    assert screen.lines[1].startswith(f"4 of 30 epochs  {text}  ")


def test_the_live_display_names_what_runs_and_what_is_best() -> None:
    screen = Screen(runs=5, terminal=True)
    with screen.display:
        screen.train(screen.runs[0], val_loss=0.25)
        screen.train(screen.runs[1], "dead", val_loss=0.1)
        screen.train(screen.runs[2], val_loss=0.75)
        screen.display.update([screen.runs[3:4], screen.runs[4:]], screen.epochs, news=NEWS)
    bar, *rows = screen.last_frame
    assert bar.split()[0] == "runs"
    assert bar.split()[-2:] == ["3/5", "0:00:30"]
    assert rows[:5] == [
        "left     0:17",
        "running  step-s3: epoch 4 of 10, train loss 0.4000, val loss 0.5000, lr 0.05",
        "running  step-s4: epoch 2 of 10",
        "best     step-s0: val loss 0.2500  val accuracy 0.9000",
        "dead     1",
    ]


def test_the_live_display_says_so_where_nothing_is_known_yet() -> None:
    screen = Screen(runs=2, terminal=True)
    with screen.display:
        screen.display.update([screen.runs[:1]], 0)
    assert screen.last_frame[1:4] == ["left     unknown", "running  step-s0", "best     none yet"]


def test_the_live_display_removes_itself() -> None:
    screen = Screen(runs=1, terminal=True)
    with screen.display:
        screen.train(screen.runs[0])
    end = screen.file.getvalue().rpartition("\n")[2]
    assert "\x1b[2K" in end  # a line is erased,
    assert CONTROL.sub("", end) == ""  # and nothing printed


def test_a_stack_of_cached_runs_says_nothing_of_the_time_left() -> None:
    """All its epochs are counted before the first of its runs is told of."""
    screen = Screen(runs=20, terminal=False)
    with screen.display:
        screen.clock.now += 0.1
        screen.display.update([], 16 * EPOCHS)
        for run in screen.runs[:16]:
            screen.display.update([], 16 * EPOCHS, record(run), 5.0, cached=True)
        assert not [line for line in screen.lines if "left" in line]
        screen.epochs = 16 * EPOCHS
        screen.train(screen.runs[16])
    assert screen.lines[-1].endswith("10.0 s  0:30 left")


@pytest.mark.parametrize("before", [0, 2, 4])
def test_cached_runs_do_not_distort_the_estimate(before: int) -> None:
    """Once 83 of 110 runs are cached and 5 are trained, ``before`` of them earlier, 220 epochs of a second are left."""
    screen = Screen(runs=110, terminal=False)
    cached, trained = screen.runs[:83], screen.runs[83:88]
    with screen.display:
        for run in [*trained[:before], *cached, *trained[before:]]:
            if run in cached:
                screen.clock.now += 0.001
                screen.cached(run)
            else:
                screen.train(run)
    left = [line.rpartition("  ")[2] for line in screen.lines if line.endswith("left")]
    assert len(left) == 5
    assert left[-1] == "3:40 left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "less than a second"),
        (1.2, "0:01"),
        (22, "0:22"),
        (59.6, "1:00"),
        (754, "12:34"),
        (3599.7, "1 h 00 min"),
        (7520, "2 h 05 min"),
    ],
)
def test_the_time_left_is_told_in_few_words(seconds: float, text: str) -> None:
    estimate = Estimate(runs=2, epochs=2, now=0.0)
    estimate.update(seconds, runs=1, epochs=1)
    assert estimate.text() == text


def test_nothing_is_estimated_from_nothing() -> None:
    estimate = Estimate(runs=2, epochs=20, now=0.0)
    assert estimate.seconds() is None
    estimate.update(5.0, runs=1, epochs=10, cached=10)
    assert estimate.seconds() is None
    estimate.update(7.0, runs=1, epochs=12)
    assert estimate.seconds() == 8.0  # since the last cached run
    estimate.update(15.0, runs=2, epochs=20)
    assert estimate.seconds() is None
