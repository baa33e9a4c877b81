"""Defines the final figures of a run, and the metrics that schedulers can be compared by."""

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float]
"""Maps names to the final figures of a run. Figures that the run does not have are left out."""


@dataclass(frozen=True)
class Metric:
    """A final figure by which runs can be compared."""

    name: str
    """The name of the metric in settings and in the figures of a run, such as `test_accuracy`."""
    higher_is_better: bool
    is_share: bool
    """True for a share from 0 to 1, such as an accuracy. Differences between shares are given in percentage points, and
    differences between other figures in per cent."""

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The name of the metric in words, such as `test accuracy`."""
        return self.name.replace("_", " ")

    @property
    def sign(self) -> int:
        """1 if a higher figure is better, otherwise -1."""
        return 1 if self.higher_is_better else -1

    @property
    def margin(self) -> float:
        """The default margin, which is 0.5 percentage points for a share and 10 per cent for any other figure."""
        return 0.5 if self.is_share else 10.0


TEST_ACCURACY = Metric("test_accuracy", higher_is_better=True, is_share=True)
TEST_LOSS = Metric("test_loss", higher_is_better=False, is_share=False)
METRICS = {metric.name: metric for metric in (TEST_ACCURACY, TEST_LOSS)}
"""The metrics of a network, keyed by name."""


def network_figures(loss: float, accuracy: float | None) -> Figures:
    """Return the test figures of a network.

    Args:
        loss: the mean or, for some loss functions, the sum of the losses on the test examples. The loss is NaN if the
            network diverged.
        accuracy: the fraction of correct outputs, from 0 to 1, or None if the task has no classes.
    """
    return {TEST_LOSS.name: loss} if accuracy is None else {TEST_ACCURACY.name: accuracy, TEST_LOSS.name: loss}
