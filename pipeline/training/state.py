"""A run in training: its network, its optimizer, its scheduler, and the state from which it can be resumed."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from pipeline.datasets.augment import Draw
from pipeline.datasets.store import Split, Summary
from pipeline.losses import training_loss
from pipeline.networks.weights import restore
from pipeline.runs.epoch import Epoch
from pipeline.training import generators
from pipeline.training.averaging import evaluated
from pipeline.training.building import build_network
from pipeline.training.determinism import make_deterministic
from pipeline.training.evaluation import loss_and_accuracy, outputs_all_equal, sums
from pipeline.training.precision import autocast
from pipeline.training.training_set import Indices, TrainingSet, draw_batches

if TYPE_CHECKING:
    from pipeline.runs.run import Run


class Training:
    """A run in training. Its initial weights and its batches depend on the seed, but not on the schedule.

    Args:
        run: the settings of the run.
        data: the summary of the data set.
        device: the device to train on.
        vectors: pretrained word vectors to start from, (vocabulary, dimensions).

    Raises:
        UserError: the network or its optimizer cannot be built.
    """

    def __init__(self, run: "Run", data: Summary, device: torch.device, vectors: Tensor | None = None) -> None:
        self.run, self.workload, self.schedule = run, run.workload, run.schedule
        self.data, self.device = data, device
        make_deterministic(run.seed)
        self.network = build_network(run.workload, data, vectors).to(device)
        no_decay = run.workload.no_decay or ()
        self.optimizer = self.schedule.optimizer(run.workload.optimizer, self.network, run.lr, no_decay)
        self.scheduler = self.schedule.build(self.optimizer, run.epochs, run.batches)
        self.evaluated = evaluated(run, self.network, self.optimizer)
        """The network that is validated, tested and published: `network`, or an average of its weights."""
        self.loss = training_loss(run.workload.loss, run.workload.label_smoothing)
        self.epoch, self.batch = 1, 0
        """The position: the current epoch, counted from 1, and the number of batches trained so far in this epoch."""
        self.recorded: list[Epoch] = []
        """The epochs recorded so far."""
        self.over = False
        self.total = torch.zeros((), device=device)
        """The sum of the losses of all examples used so far in the current epoch."""
        self.random = generators.copy_of(generators.of_device(device))
        """The generator of the random numbers that the network draws, for example for dropout."""
        self._order = torch.Generator().manual_seed(run.seed)
        self._order_at_start = self._order.get_state()
        self._rate = run.lr
        self._weights_at_start: list[Tensor] = []

    @property
    def position(self) -> tuple[int, int]:
        """The current epoch and the number of its batches trained so far; all runs in a stack share a position."""
        return self.epoch, self.batch

    @property
    def draw(self) -> Draw:
        """The seed for augmenting the next batch.

        This seed depends only on the run's seed and position, so resuming a run does not change the augmentation.
        """
        return self.run.seed, self.epoch, self.batch

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context for computing outputs and losses, which turns autocast on if the workload uses bfloat16."""
        return autocast(self.workload, self.device)

    def clip_gradients(self) -> None:
        """Clip the norm of the gradients to `clip_grad_norm` if the task sets that option."""
        if self.workload.clip_grad_norm is not None:
            clip_grad_norm_(self.network.parameters(), self.workload.clip_grad_norm)

    def note_rate(self) -> None:
        """Remember the learning rate of the last optimizer step; call this before the scheduler's step."""
        self._rate = float(self.scheduler.get_last_lr()[0])

    def draw_from_torch(self) -> None:
        """Copy the state of this run's generator to torch's global generator, from which the network then draws."""
        own = generators.of_device(self.device)
        if self.random is not own:
            own.set_state(self.random.get_state())
            self.random = own

    @property
    def _is_validated(self) -> bool:
        every = 1 if self.schedule.needs_val_loss else self.workload.record_every
        return self.epoch % every == 0 or self.epoch == self.run.epochs

    def start_epoch(self, examples: TrainingSet) -> Sequence[Indices]:
        """Start or resume an epoch, and return its remaining batches."""
        if not self.network.training:  # train() visits every layer; in a small network, that takes as long as a step
            self.network.train()
        self.evaluated.start_epoch()
        if self.batch == 0:
            self._order_at_start = self._order.get_state()
            self.total.zero_()
            tensors = self._tensors() if self._is_validated else ()
            self._weights_at_start = [tensor.detach().clone() for tensor in tensors]
        batch_size, device = self.workload.batch_size, str(self.device)
        return draw_batches(len(examples), batch_size, self._order, examples.lengths, device)[self.batch :]

    def measure(self, val: Split, examples: TrainingSet) -> Tensor | None:
        """At the end of an epoch, validate the run if validation is due.

        Returns:
            The figures that `end_epoch` needs, as float64 (3,) on the device: both `sums` of the validation split, and
            the sum of the training losses. None if the epoch is not validated.
        """
        self.evaluated.after_epoch(self.epoch)
        if not self._is_validated:
            return None
        network = self.evaluated.for_validation(examples, self.random)
        return torch.cat([sums(network, val, self.data, self.workload, self.device), self.total.double()[None]])

    def end_epoch(
        self, measured: Sequence[float] | None, val: Split, examples: int
    ) -> tuple[float | None, Epoch | None]:
        """End an epoch; call this before the scheduler's step.

        Args:
            measured: the result of `measure`, converted to numbers.
            val: the validation split.
            examples: the number of training examples.

        Returns:
            The validation loss (None if the epoch is not validated), and the epoch's figures (None if they are not
            recorded).
        """
        val_loss, recorded = None, None
        if measured is not None:
            *of_val, total = measured
            val_loss, val_accuracy = loss_and_accuracy(of_val, len(val), self.workload)
            train_loss = total / (examples if self.loss.mean else 1)
            figures = Epoch.of_network(self.epoch, self._rate, train_loss, val_loss, val_accuracy)
            dead = self._stands_still() and self.is_dead(val)
            self.over = figures.diverged or dead or self.epoch == self.run.epochs
            if self.over or self.epoch % self.workload.record_every == 0:
                self.recorded.append(figures)
                recorded = figures
        self.epoch, self.batch = self.epoch + 1, 0
        return val_loss, recorded

    def _stands_still(self) -> bool:
        """Return True if all gradients are zero and the epoch changed no weight or buffer.

        This is never the case for a network with batch norm, whose running averages change in every epoch. In such a
        network, zero gradients may become nonzero in a later epoch.
        """
        tensors = self._tensors()
        return all(tensor.grad is None or not tensor.grad.any() for tensor in tensors) and all(
            torch.equal(tensor, before) for tensor, before in zip(tensors, self._weights_at_start, strict=True)
        )

    def _tensors(self) -> list[Tensor]:
        """Return all weights and buffers that an epoch may change, including averaged weights."""
        return [*self.network.parameters(), *self.network.buffers(), *self.evaluated.weights()]

    def outcome(self, val: Split) -> Literal["finished", "diverged", "dead"]:
        """Return how the run ended; ``val`` is the validation split."""
        if self.recorded[-1].diverged:
            return "diverged"
        return "dead" if self.is_dead(val) else "finished"

    def is_dead(self, split: Split) -> bool:
        """Return True if the network returns exactly the same output for every example of ``split``."""
        return outputs_all_equal(self.evaluated.network, split, self.data, self.workload, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, such as weights, random states and the position."""
        random = {"cpu": torch.get_rng_state()} | {self.device.type: self.random.get_state()}
        is_in_step = self.batch % (self.workload.accumulate or 1) != 0
        return {
            "network": self.network.state_dict(),
            "evaluated": self.evaluated.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": random,
            "order": self._order_at_start,
            "epoch": self.epoch,
            "batch": self.batch,
            "total": self.total,
            "weights_at_start": self._weights_at_start if self.batch else [],
            "gradients": [weight.grad for weight in self.network.parameters()] if is_in_step else [],
            "recorded": [astuple(epoch) for epoch in self.recorded],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the `state_dict` of the same run."""
        restore(self.network, state["network"])
        self.evaluated.load_state_dict(state["evaluated"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.device.type != "cpu":
            torch.set_rng_state(state["random"]["cpu"])
        self.random.set_state(state["random"][self.device.type])
        self._order_at_start = state["order"]  # a later checkpoint in this epoch will contain it
        self._order.set_state(self._order_at_start)
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.total.copy_(state["total"])
        self._weights_at_start = [tensor.to(self.device) for tensor in state["weights_at_start"]]
        for weight, gradient in zip(self.network.parameters(), state["gradients"], strict=False):
            weight.grad = None if gradient is None else gradient.to(self.device)
        self.recorded = [Epoch(*epoch) for epoch in state["recorded"]]
