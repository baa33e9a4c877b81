"""The network that is validated, tested and published: the one in training, or one with an average of its weights.

Statistics of batch norm belong to the weights that they were gathered with, so an average has its own: before each
validation one pass over the training examples, in their order, gathers them anew, as torch's `update_bn` does. That
costs about a third of an epoch; a network without batch norm pays nothing. Other buffers are those of the network in
training. The pass draws its random numbers (dropout) apart: training is what it would be without an average.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from pipeline.errors import UserError
from pipeline.settings import Resolved
from pipeline.training.batches import Examples
from pipeline.training.generators import copy_of, drawing_from

if TYPE_CHECKING:
    from pipeline.runs.params import Run


class Published:
    """The network in training, published as it is.

    Args:
        trained: the network in training.
    """

    def __init__(self, trained: nn.Module) -> None:
        self.trained = trained

    @property
    def network(self) -> nn.Module:
        """The network that is published."""
        return self.trained

    def start_epoch(self) -> None:
        """Prepare to train; a second call in the same epoch does nothing."""

    def after_step(self) -> None:
        """Take note of the weights that an optimizer step has left."""

    def after_epoch(self, epoch: int) -> None:
        """Take note of the weights that an epoch has left, counted from 1."""

    def validated(self, examples: Examples, generator: torch.Generator) -> nn.Module:
        """Return the network, ready to be validated.

        Args:
            examples: that it is trained on.
            generator: that it draws random numbers from in training; here it draws the same, and training goes on as
                if nothing had been drawn.
        """
        return self.network

    def weights(self) -> list[Tensor]:
        """Return the weights that are published and not in training."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Return what the average depends on but the network and the optimizer."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where ``state`` was returned."""


class Averaged(Published):
    """An average beside the network; until there is one, the network itself.

    Args:
        trained: the network in training.
        average: its settings, as `pipeline.schedules.averages` resolves them.
    """

    def __init__(self, trained: nn.Module, average: Resolved) -> None:
        super().__init__(trained)
        self.start: int | None = average.get("start")
        """The first epoch whose weights count; None: those of every step do."""
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

    def validated(self, examples: Examples, generator: torch.Generator) -> nn.Module:
        if self.network is not self.trained:
            gather_statistics(self.network, examples, generator)
        return self.network

    def weights(self) -> list[Tensor]:
        return list(self.average.module.parameters())

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)


class Switched(Published):
    """The network in training, whose optimizer puts an average into it while it is validated, and takes it out again.

    Args:
        trained: the network in training.
        optimizer: one of the package schedulefree.
    """

    def __init__(self, trained: nn.Module, optimizer: Any) -> None:
        super().__init__(trained)
        self._optimizer = optimizer

    def start_epoch(self) -> None:
        self._optimizer.train()

    def validated(self, examples: Examples, generator: torch.Generator) -> nn.Module:
        self._optimizer.eval()
        gather_statistics(self.trained, examples, generator)
        return self.trained


def published(run: "Run", network: nn.Module, optimizer: torch.optim.Optimizer) -> Published:
    """Return what is published of a run whose training is at its start.

    Args:
        run: its settings.
        network: that is trained.
        optimizer: of that network.

    Raises:
        UserError: the network cannot be copied, so there can be no average beside it.
    """
    if run.schedule.built_in_average == "optimizer":
        return Switched(network, optimizer)
    average = run.schedule.resolve(run.lr, run.epochs, run.batches).get("average")
    if average is None:
        return Published(network)
    try:
        return Averaged(network, average)
    except (RuntimeError, TypeError) as error:  # what `deepcopy` raises of a user's network
        reason = " ".join(str(error).split())
        raise UserError(f"model {run.model.name} cannot be copied, which an average needs: {reason}") from error


def gather_statistics(network: nn.Module, examples: Examples, generator: torch.Generator) -> None:
    """Gather the statistics of batch norm anew, with the weights as they are; nothing without batch norm."""
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return
    with drawing_from(copy_of(generator)):
        update_bn(examples.in_order(), network)
