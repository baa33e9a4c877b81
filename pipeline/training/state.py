"""A run in training: its network, optimizer and scheduler, where it is, and all that is needed to go on from there."""

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
from pipeline.networks import networks
from pipeline.networks.restoring import restore
from pipeline.runs.epoch import Epoch
from pipeline.training import generators
from pipeline.training.accumulation import Part, part_of_step
from pipeline.training.batches import Examples, Indices, batches
from pipeline.training.determinism import make_deterministic
from pipeline.training.evaluation import answers_all_alike, figures_of, sums
from pipeline.training.precision import autocast
from pipeline.training.published import published

if TYPE_CHECKING:
    from pipeline.runs.params import Run


class Training:
    """A run in training; the same seed gives the same weights and batches under every schedule.

    Args:
        run: what to train.
        data: the summary of the data that it is trained on.
        device: where.
        vectors: pretrained word vectors to begin with, (vocabulary, dimensions).

    Raises:
        UserError: the network cannot be built, or its optimizer.
    """

    def __init__(self, run: "Run", data: Summary, device: torch.device, vectors: Tensor | None = None) -> None:
        self.run, self.data, self.device = run, data, device
        self.schedule = run.schedule
        make_deterministic(run.seed)
        self.network = networks.build(run, data, vectors).to(device)
        self.optimizer = self.schedule.optimizer(run.optimizer_settings, self.network, run.lr, run.no_decay or ())
        self.scheduler = self.schedule.build(self.optimizer, run.epochs, run.batches)
        self.published = published(run, self.network, self.optimizer)
        """The network that is validated and published: this one, or one with an average of its weights."""
        self.loss = training_loss(run)
        self.epoch, self.batch = 1, 0
        """Its position: the epoch, and how many of its batches are done."""
        self.recorded: list[Epoch] = []
        """The epochs that are recorded so far."""
        self.over = False
        self._order = torch.Generator().manual_seed(run.seed)
        self._order_at_start = self._order.get_state()
        self._lr = run.lr
        self.total = torch.zeros((), device=device)
        """The sum of the losses of the epoch's examples so far."""
        self.random = generators.copy_of(generators.of_device(device))
        """What the network draws random numbers from."""
        self._weights_at_start: list[Tensor] = []

    @property
    def steps_per_batch(self) -> bool:
        """True if the scheduler is stepped after every batch, False if after every epoch."""
        return self.schedule.interval == "batch"

    @property
    def position(self) -> tuple[int, int]:
        """The epoch, and how many of its batches are done: what runs that are trained together have in common."""
        return self.epoch, self.batch

    @property
    def draw(self) -> Draw:
        """What the augmentation of the next batch is drawn from: no state, so that pairs and resumed runs agree."""
        return self.run.seed, self.epoch, self.batch

    def part(self, examples: int) -> Part:
        """Return the place of the next batch in a step of the optimizer; the epoch has so many examples."""
        return part_of_step(self.run, self.batch, examples)

    def autocast(self) -> AbstractContextManager[object]:
        """Return what outputs and losses are computed in."""
        return autocast(self.run, self.device)

    def clip_gradients(self) -> None:
        """Scale the gradients down if their norm is above `clip_grad_norm`; call it before the optimizer's step."""
        if self.run.clip_grad_norm is not None:
            clip_grad_norm_(self.network.parameters(), self.run.clip_grad_norm)

    def draw_from_torch(self) -> None:
        """Let the network draw from torch's own generator, as it does by itself, from where this run's is."""
        own = generators.of_device(self.device)
        if self.random is not own:
            own.set_state(self.random.get_state())
            self.random = own

    @property
    def _is_in_a_step(self) -> bool:
        return self.batch % (self.run.accumulate or 1) != 0

    @property
    def _is_validated(self) -> bool:
        every = 1 if self.schedule.needs_val_loss else self.run.record_every
        return self.epoch % every == 0 or self.epoch == self.run.epochs

    def start_epoch(self, epoch: int, examples: Examples) -> Sequence[Indices]:
        """Start an epoch, or go on in it, and return the batches that are left."""
        self.epoch = epoch
        if not self.network.training:  # to tell every layer takes as long as a small network's step
            self.network.train()
        self.published.start_epoch()
        if self.batch == 0:
            self._order_at_start = self._order.get_state()
            self.total.zero_()
            held = self._held() if self._is_validated else ()
            self._weights_at_start = [each.detach().clone() for each in held]
        drawn = batches(len(examples), self.run.batch_size, self._order, examples.lengths, str(self.device))
        return drawn[self.batch :]

    def end_batch(self, part: Part) -> None:
        """End a batch, after the optimizer's step; ``part`` is its place in that."""
        if part.ends:
            self.published.after_step()
        self.batch += 1
        if self.steps_per_batch:
            self._lr = float(self.scheduler.get_last_lr()[0])
            if part.ends:
                self.scheduler.step()

    def measure(self, val: Split, examples: Examples) -> Tensor | None:
        """Validate at the end of an epoch, if that is due, and return what `end_epoch` makes figures of, on the device.

        Args:
            val: the validation split.
            examples: what it was trained on.

        Returns:
            The sums of `sums`, and that of the losses in training, float64 (3,).
        """
        self.published.after_epoch(self.epoch)
        if not self._is_validated:
            return None
        validated = self.published.validated(examples, self.random)
        return torch.cat([sums(validated, val, self.data, self.run, self.device), self.total.double()[None]])

    def end_epoch(
        self, measured: Sequence[float] | None, val: Split, examples: int
    ) -> tuple[float | None, Epoch | None]:
        """End an epoch; call it before the scheduler's step.

        Args:
            measured: what `measure` has returned.
            val: the validation split.
            examples: how many it was trained on.

        Returns:
            The validation loss, where the epoch is validated; its figures, where it is recorded.
        """
        if not self.steps_per_batch:
            self._lr = float(self.scheduler.get_last_lr()[0])
        val_loss, recorded = None, None
        if measured is not None:
            *of_val, total = measured
            val_loss, val_accuracy = figures_of(of_val, len(val), self.run)
            train_loss = total / (examples if self.loss.mean else 1)
            figures = Epoch.of_network(self.epoch, self._lr, train_loss, val_loss, val_accuracy)
            dead = self._stands_still() and self.is_dead(val)
            self.over = figures.diverged or dead or self.epoch == self.run.epochs
            if self.over or self.epoch % self.run.record_every == 0:
                self.recorded.append(figures)
                recorded = figures
        self.batch = 0
        return val_loss, recorded

    def _stands_still(self) -> bool:
        """Return True if there is no gradient, and the epoch has left weights and buffers as they were.

        With batch norm it never does: its averages move, and another epoch's batches may give a gradient.
        """
        held = self._held()
        return all(each.grad is None or not each.grad.any() for each in held) and all(
            torch.equal(each, before) for each, before in zip(held, self._weights_at_start, strict=True)
        )

    def _held(self) -> list[Tensor]:
        """Return all weights and buffers that an epoch may change, the weights of an average among them."""
        return [*self.network.parameters(), *self.network.buffers(), *self.published.weights()]

    def outcome(self, val: Split) -> Literal["finished", "diverged", "dead"]:
        """Return how a run that is over has ended; ``val`` is the validation split."""
        if self.recorded[-1].diverged:
            return "diverged"
        return "dead" if self.is_dead(val) else "finished"

    def is_dead(self, split: Split) -> bool:
        """Return True if the network answers all examples of ``split`` exactly alike."""
        return answers_all_alike(self.published.network, split, self.data, self.run, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on: weights, states, random states, and the position."""
        random = {"cpu": torch.get_rng_state()} | {self.device.type: self.random.get_state()}
        return {
            "network": self.network.state_dict(),
            "published": self.published.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": random,
            "order": self._order_at_start,
            "epoch": self.epoch,
            "batch": self.batch,
            "total": self.total,
            "weights_at_start": self._weights_at_start if self.batch else [],
            "gradients": [weight.grad for weight in self.network.parameters()] if self._is_in_a_step else [],
            "recorded": [astuple(epoch) for epoch in self.recorded],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where a training of the same run was when it returned ``state``."""
        restore(self.network, state["network"])
        self.published.load_state_dict(state["published"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.device.type != "cpu":
            torch.set_rng_state(state["random"]["cpu"])
        self.random.set_state(state["random"][self.device.type])
        self._order_at_start = state["order"]  # a second stop in the same epoch saves it again
        self._order.set_state(self._order_at_start)
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.total.copy_(state["total"])
        self._weights_at_start = [weight.to(self.device) for weight in state["weights_at_start"]]
        for weight, gradient in zip(self.network.parameters(), state["gradients"], strict=False):
            weight.grad = None if gradient is None else gradient.to(self.device)
        self.recorded = [Epoch(*epoch) for epoch in state["recorded"]]
