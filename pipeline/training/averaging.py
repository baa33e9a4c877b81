"""Classes that provide the network to evaluate and publish: the network in training, or an average of its weights.

Batch-norm statistics fit only the weights that produced them, so an average of the weights needs its own statistics.
Before each validation, torch's `update_bn` computes these statistics in one pass over the training examples. The pass
takes about a third as long as an epoch, and is skipped if the network has no batch norm. The pass draws its random
numbers from a copy of the run's generator, so averaging does not affect the training. All buffers of an average, except
batch-norm statistics, are copied from the network in training.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from pipeline.errors import UserError
from pipeline.settings import Resolved
from pipeline.training.generators import copy_of, drawing_from
from pipeline.training.training_set import TrainingSet

if TYPE_CHECKING:
    from pipeline.runs.run import Run


class Evaluated:
    """Holds the network to evaluate: by default, the network in training; subclasses use averaged weights instead."""

    def __init__(self, trained: nn.Module) -> None:
        self.trained = trained

    @property
    def network(self) -> nn.Module:
        """The network to evaluate."""
        return self.trained

    def start_epoch(self) -> None:
        """Prepare the network for training; a second call in the same epoch has no effect."""

    def after_step(self) -> None:
        """If the weights are averaged after every optimizer step, add them to the average."""

    def after_epoch(self, epoch: int) -> None:
        """If the weights are averaged after each epoch, add them to the average; ``epoch`` is counted from 1."""

    def for_validation(self, examples: TrainingSet, generator: torch.Generator) -> nn.Module:
        """Return the network to evaluate, ready for validation, without changing the state of ``generator``."""
        return self.network

    def weights(self) -> list[Tensor]:
        """Return the weights of the average if a second network holds them, or else an empty list."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the average."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the average."""


class Averaged(Evaluated):
    """An average held in a second network. While the average is empty, the network in training is evaluated instead."""

    def __init__(self, trained: nn.Module, average: Resolved) -> None:
        super().__init__(trained)
        self.start: int | None = average.get("start")
        """The first epoch whose weights enter the average, or None if the weights are averaged after every step."""
        function = None if average["kind"] == "swa" else get_ema_multi_avg_fn(average["decay"])
        self.average = AveragedModel(trained, multi_avg_fn=function)

    @property
    def network(self) -> nn.Module:
        return self.average.module if self.average.n_averaged > 0 else self.trained

    def after_step(self) -> None:
        if self.start is None:
            self.average.update_parameters(self.trained)

    def after_epoch(self, epoch: int) -> None:
        if self.start is not None and epoch >= self.start:
            self.average.update_parameters(self.trained)

    def for_validation(self, examples: TrainingSet, generator: torch.Generator) -> nn.Module:
        if self.network is not self.trained:
            gather_statistics(self.network, examples, generator)
        return self.network

    def weights(self) -> list[Tensor]:
        return list(self.average.module.parameters())

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)


class SwappedByOptimizer(Evaluated):
    """The network in training, into which the schedulefree optimizer loads its average for validation."""

    def __init__(self, trained: nn.Module, optimizer: Any) -> None:
        super().__init__(trained)
        self._optimizer = optimizer

    def start_epoch(self) -> None:
        self._optimizer.train()

    def for_validation(self, examples: TrainingSet, generator: torch.Generator) -> nn.Module:
        self._optimizer.eval()
        gather_statistics(self.trained, examples, generator)
        return self.trained


def evaluated(run: "Run", network: nn.Module, optimizer: torch.optim.Optimizer) -> Evaluated:
    """Return an object that holds the network to evaluate; the run must not have started to train.

    Raises:
        UserError: the run averages weights, but the network cannot be copied.
    """
    if run.schedule.built_in_average == "optimizer":
        return SwappedByOptimizer(network, optimizer)
    average = run.schedule.resolve(run.lr, run.epochs, run.batches).get("average")
    if average is None:
        return Evaluated(network)
    try:
        return Averaged(network, average)
    except (RuntimeError, TypeError) as error:  # `deepcopy` of a user's network failed
        model, reason = run.workload.model.name, " ".join(str(error).split())
        raise UserError(f"model {model} cannot be copied, which an average needs: {reason}") from error


def gather_statistics(network: nn.Module, examples: TrainingSet, generator: torch.Generator) -> None:
    """Recompute the batch-norm statistics for the current weights; do nothing if the network has no batch norm."""
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return
    with drawing_from(copy_of(generator)):
        update_bn(examples.in_order(), network)
