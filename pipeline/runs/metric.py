"""The figure that schedulers are compared by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure that a run ends with, and how to compare runs by it."""

    name: str
    """The name in params.yaml, in figures of a run and in MLflow, such as `test_accuracy`."""
    higher_is_better: bool
    is_share: bool
    """True for a share from 0 to 1, such as an accuracy: differences are in percentage points. False: they are in per
    cent of the figure."""

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The name in words, such as `test accuracy`."""
        return self.name.replace("_", " ")

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def margin(self) -> float:
        """The default margin: 0.5 percentage points, or 10 per cent."""
        return 0.5 if self.is_share else 10.0


TEST_ACCURACY = Metric("test_accuracy", higher_is_better=True, is_share=True)
TEST_LOSS = Metric("test_loss", higher_is_better=False, is_share=False)
METRICS = {metric.name: metric for metric in (TEST_ACCURACY, TEST_LOSS)}
"""The metrics of a network by name."""
