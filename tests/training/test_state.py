"""A run that is being trained: its position, and the state from which it can be resumed."""

from copy import deepcopy

from pipeline.datasets import Summary
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.training.fitting import CPU, Splits, equal, fit, runs


def test_the_position_is_the_epoch_and_the_batch(summary: Summary, splits: Splits) -> None:
    (run,) = runs(scheduler="cosine", seeds=1)
    training = Training(run, summary, CPU)
    assert training.position == (1, 0)
    examples = TrainingSet(splits[0], summary, run.workload, CPU)
    assert len(training.start_epoch(examples)) == run.batches == 34
    measured = training.measure(splits[1], examples)
    assert measured is not None
    val_loss, figures = training.end_epoch(measured.tolist(), splits[1], len(examples))
    assert figures is not None
    assert figures.val_loss == val_loss
    assert training.position == (2, 0)
    assert not training.over


def test_a_run_resumes_from_its_state(summary: Summary, splits: Splits) -> None:
    (run,) = runs(scheduler="onecycle", seeds=1)
    whole = Training(run, summary, CPU)
    states = []

    def keep() -> None:
        if whole.position == (2, 5):
            states.append(deepcopy(whole.state_dict()))

    epochs = fit(whole, splits, keep)
    resumed = Training(run, summary, CPU)
    resumed.load_state_dict(states[0])
    assert resumed.position == (2, 5)
    assert resumed.recorded == epochs[:1]
    assert fit(resumed, splits) == epochs[1:]
    assert equal(resumed.network.state_dict(), whole.network.state_dict())
