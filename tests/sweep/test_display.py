"""How the progress of a sweep is shown, tested with a fake clock."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from rich.console import Console

from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.sweep.display import QUIET_SECONDS, Display
from pipeline.sweep.jobs import Origin, Trained
from pipeline.sweep.run_progress import RunProgress
from tests.helpers.project import load

EPOCHS = 10
EPOCHS_OF_STEP = [Epoch.of_network(2, 0.1, 0.6, 0.7, 0.8), Epoch.of_network(3, 0.05, 0.4, 0.5, 0.9)]
REPORTS = [
    RunProgress(
        "step-s3",
        "fingerprint",
        0.0,
        3.5,
        EPOCHS_OF_STEP,
    ),
    RunProgress("step-s4", "fingerprint", 0.0, 1.5, []),
]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A display with its console and a sweep that has one worker and takes one second per epoch."""

    def __init__(self, runs: int, terminal: bool) -> None:
        self.clock = Clock()
        self.file = io.StringIO()
        self.runs = load(scheduler="step", seeds=runs, **{"tasks__digits-mlp__epochs": EPOCHS}).runs()
        console = Console(file=self.file, force_terminal=terminal, width=100, _environ={})
        self.display = Display(console, self.runs, 1, self.clock)

    def cached(self, *runs: Run) -> None:
        self.display.update([], [ended(run, "cached") for run in runs])

    def train(self, *runs: Run, outcome: str = "finished", val_loss: float = 0.5) -> None:
        """Train one run, or several runs as a stack, which takes the same time."""
        for epoch in range(1, EPOCHS + 1):
            self.clock.now += 1
            self.report(runs, epoch)
        self.display.update([], [ended(run, "trained", outcome, val_loss) for run in runs])

    def report(self, runs: Sequence[Run], done: float) -> None:
        self.display.update([runs], reports=[RunProgress(run.name, "fingerprint", 0.0, done, []) for run in runs])

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    @property
    def last_frame(self) -> list[str]:
        """The lines of the last frame that was shown before the display removed itself."""
        frames = re.split(r"(?=runs [^\n]*━)", CONTROL.sub("", self.file.getvalue()))
        return [line.rstrip() for line in frames[-1].splitlines()]

    @property
    def left(self) -> list[int]:
        """The seconds left, for each line that shows the time left."""
        times = [line.rpartition("  ")[2].removesuffix(" left") for line in self.lines if line.endswith(" left")]
        return [3600 * int(h) + 60 * int(m) + int(s) for h, m, s in (time.split(":") for time in times)]


def ended(run: Run, origin: Origin, outcome: str = "finished", val_loss: float = 0.5) -> Trained:
    epochs = [Epoch.of_network(EPOCHS, 0.1, 0.4, val_loss, 0.9)]
    record = Record(run, outcome, epochs, "cpu", "2", "fingerprint")  # type: ignore[arg-type]
    return Trained(record, Timing(0.0, float(EPOCHS)), origin)


def test_plain_lines_show_every_run() -> None:
    screen = Screen(runs=3, terminal=False)
    with screen.display:
        screen.cached(screen.runs[0])
        screen.train(screen.runs[1])
        screen.train(screen.runs[2], outcome="diverged")
    assert screen.lines == [
        "training 3 runs, 30 epochs in all, in 1 process",
        "[1/3] step-s0              val loss 0.5000  val accuracy 0.9000   cached",
        "[2/3] step-s1              val loss 0.5000  val accuracy 0.9000   10.0 s  0:00:10 left",
        "[3/3] step-s2              diverged in epoch 10   10.0 s",
    ]


def test_plain_lines_show_the_progress_of_a_long_run() -> None:
    screen = Screen(runs=2, terminal=False)
    with screen.display:
        for epochs in (0, 1):
            screen.clock.now += QUIET_SECONDS + 1
            screen.report(screen.runs[:1], epochs)
            screen.report(screen.runs[:1], epochs)
    assert screen.left == [2 * 31 * 19]
    assert screen.lines[1] == "0 of 20 epochs  step-s0: epoch 1 of 10"
    assert screen.lines[2].startswith("1 of 20 epochs  step-s0: epoch 2 of 10  0:19:38")


def test_a_stack_is_one_line_with_the_means_of_its_losses() -> None:
    screen = Screen(runs=3, terminal=False)
    with screen.display:
        screen.clock.now += QUIET_SECONDS + 1
        stack = [
            RunProgress(run.name, "fingerprint", 0.0, 2.0, [Epoch.of_network(2, lr, 0.3, 0.1 + lr, None)])
            for run, lr in zip(screen.runs[:2], (0.1, 0.2), strict=True)
        ]
        screen.display.update([screen.runs], reports=stack)
    text = "step-s0 and 2 more: epoch 3 of 10, train loss 0.3000, val loss 0.2500, lr 0.1 to 0.2"
    assert screen.lines[1].startswith(f"4 of 30 epochs  {text}  ")


def test_the_live_display_names_the_running_and_the_best_runs() -> None:
    screen = Screen(runs=5, terminal=True)
    with screen.display:
        screen.train(screen.runs[0], val_loss=0.25)
        screen.train(screen.runs[1], outcome="dead", val_loss=0.1)
        screen.train(screen.runs[2], val_loss=0.75)
        screen.display.update([screen.runs[3:4], screen.runs[4:]], reports=REPORTS)
    bar, *rows = screen.last_frame
    assert bar.split()[0] == "runs"
    assert bar.split()[-2:] == ["3/5", "0:00:30"]
    assert rows[:5] == [
        "left     0:00:13",
        "running  step-s3: epoch 4 of 10, train loss 0.4000, val loss 0.5000, lr 0.05",
        "running  step-s4: epoch 2 of 10",
        "best     step-s0: val loss 0.2500  val accuracy 0.9000",
        "dead     1",
    ]


def test_the_live_display_before_the_first_report() -> None:
    screen = Screen(runs=2, terminal=True)
    with screen.display:
        screen.display.update([screen.runs[:1]])
    assert screen.last_frame[1:4] == ["left     unknown", "running  step-s0", "best     none yet"]


def test_the_live_display_removes_itself() -> None:
    screen = Screen(runs=1, terminal=True)
    with screen.display:
        screen.train(screen.runs[0])
    end = screen.file.getvalue().rpartition("\n")[2]
    assert "\x1b[2K" in end  # a line was erased
    assert CONTROL.sub("", end) == ""  # and nothing was printed


@pytest.mark.parametrize("before", [0, 2, 4])
def test_cached_runs_do_not_distort_the_time_left(before: int) -> None:
    """Of 110 runs, 83 are cached and 5 are trained, ``before`` of them before the cached runs; 220 epochs are left."""
    screen = Screen(runs=110, terminal=False)
    cached, trained = screen.runs[:83], screen.runs[83:88]
    with screen.display:
        for run in [*trained[:before], *cached, *trained[before:]]:
            if run in cached:
                screen.clock.now += 0.001
                screen.cached(run)
            else:
                screen.train(run)
    assert len(screen.left) == 5
    assert screen.left[-1] == 220


def test_the_time_left_is_right_for_cached_runs_and_stacks() -> None:
    """Two workers train stacks of 16 in 4 seconds per stack; the estimate is accurate to within 20% or two seconds."""
    screen = Screen(runs=83 + 16 * 20, terminal=False)
    screen.cached(*screen.runs[:83])
    stacks = [screen.runs[first : first + 16] for first in range(83, len(screen.runs), 16)]
    with screen.display:
        for pair in range(0, len(stacks), 2):
            for second in range(1, 4):
                screen.clock.now += 1
                screen.report(stacks[pair], EPOCHS * second / 4)
                screen.report(stacks[pair + 1], EPOCHS * second / 4)
            for stack, offset in ((stacks[pair], 0.9), (stacks[pair + 1], 0.1)):
                screen.clock.now += offset
                before = len(screen.left)
                screen.display.update([], [ended(run, "trained") for run in stack])
                expected = 4 * (len(stacks) / 2) - screen.clock.now
                assert all(left == pytest.approx(expected, rel=0.2, abs=2) for left in screen.left[before:])
    assert len(screen.left) >= 10


def test_the_time_left_counts_from_the_last_cached_run() -> None:
    """The time left is unknown before any training, and is not shown at the end."""
    screen = Screen(runs=2, terminal=False)
    with screen.display:
        screen.clock.now += QUIET_SECONDS + 1
        screen.report(screen.runs[:1], 0.0)
        screen.cached(screen.runs[0])
        assert not screen.left
        screen.clock.now += QUIET_SECONDS + 1
        screen.report(screen.runs[1:], 5.0)
        assert screen.left == [QUIET_SECONDS + 1]  # as long as the first half of the epochs took
        screen.display.update([], [ended(screen.runs[1], "trained")])
    assert len(screen.left) == 1
    assert screen.lines[-1].startswith("[2/2]")
