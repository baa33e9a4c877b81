"""One run, or a stack of small ones: a loop that yields an epoch's figures."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data import Split, Summary
from pipeline.errors import UserError
from pipeline.params import Run
from pipeline.settings.tasks import outputs
from pipeline.training import networks as models
from pipeline.training.epoch import Epoch
from pipeline.training.losses import LOSSES
from pipeline.training.stacks import SMALL, Stack

# Before MKL first multiplies: the bits of a matrix product then do not depend on the number of threads, at no cost.
os.environ["MKL_CBWR"] = "AUTO,STRICT"

POOL = 50
"""Batches of texts that are made together, so that texts of one batch are about as long."""


@dataclass
class Training:
    """A run's network and what trains it; the same seed gives the same weights and batches whatever the schedule.

    Args:
        run: what to train.
        data: the summary of the data that it is trained on.
        device: where.
        vectors: pretrained word vectors to begin with, (vocabulary, dimensions).

    Raises:
        UserError: the network cannot be built.
    """

    run: Run
    data: Summary
    device: torch.device
    vectors: Tensor | None = None

    def __post_init__(self) -> None:
        # Gradients that vanish become denormal numbers, which a processor computes with at a tenth of its speed.
        torch.set_flush_denormal(True)
        torch.manual_seed(self.run.seed)
        self.model = network(self.run, self.data, self.vectors).to(self.device)
        self.optimizer = self.run.optimizer_settings.build(self.model.parameters(), self.run.lr)
        self.scheduler = self.run.schedule.build(self.optimizer, self.run.epochs, self.run.batches)
        self.order = torch.Generator().manual_seed(self.run.seed)
        self.recorded: list[Epoch] = []
        """What `train` has yielded of it."""
        self.over = False
        self._epoch, self._batch = 1, 0  # where it is: the epoch, and how many of its batches are done
        self._lr = self.run.lr
        self._total = torch.zeros((), device=self.device)
        self._begun = self.order.get_state()
        self._before: list[Tensor] = []
        self._loss = LOSSES[self.run.loss]
        self._per_batch = self.run.schedule.interval == "batch"
        self._every = 1 if self.run.schedule.needs_val_loss else self.run.record_every

    @property
    def place(self) -> tuple[int, int]:
        """The epoch that it is in, and how many of its batches are done."""
        return self._epoch, self._batch

    @property
    def _validated(self) -> bool:
        return self._epoch % self._every == 0 or self._epoch == self.run.epochs

    def epochs(self, examples: Split, val: Split, between: Callable[[], None] = lambda: None) -> Iterator[Epoch]:
        """Train it alone: see `train`."""
        for _, figures in train([self], examples, val, between):
            yield figures

    def begin(self, examples: int, lengths: Tensor | None) -> Sequence[Tensor | slice]:
        """Begin an epoch, or go on in it: the batches that are left."""
        if not self.model.training:  # to say so to every layer takes as long as a small network's step
            self.model.train()
        if self._batch == 0:
            self._begun = self.order.get_state()
            self._total = torch.zeros((), device=self.device)
            weights = self.model.parameters() if self._validated else ()
            self._before = [weight.detach().clone() for weight in weights]
        return batches(examples, self.run.batch_size, self.order, lengths)[self._batch :]

    def step(self, loss: Tensor, examples: int) -> None:
        """Take the step that the gradients of a batch ask for, whose loss was ``loss``."""
        self.optimizer.step()
        self._total += loss * (examples if self._loss.mean else 1)
        self._batch += 1
        if self._per_batch:
            self._lr = float(self.scheduler.get_last_lr()[0])
            self.scheduler.step()

    def end(self, val: Split, examples: int) -> Epoch | None:
        """End an epoch of so many examples; its figures, where they are recorded."""
        run, val_loss, recorded = self.run, None, None
        if not self._per_batch:
            self._lr = float(self.scheduler.get_last_lr()[0])
        if self._validated:
            val_loss, val_accuracy = score(self.model, val, self.data, run, self.device)
            train_loss = self._total.item() / (examples if self._loss.mean else 1)
            figures = Epoch(self._epoch, self._lr, train_loss, val_loss, val_accuracy)
            stuck = self.stands_still(self._before) and self.dead(val)
            self.over = figures.diverged or stuck or self._epoch == run.epochs
            if self.over or self._epoch % run.record_every == 0:
                self.recorded.append(figures)
                recorded = figures
        if not self.over:
            run.schedule.step_epoch(self.scheduler, val_loss)
            self._epoch, self._batch = self._epoch + 1, 0
        return recorded

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on: weights, states, what torch draws from, and where it is."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":
            random[self.device.type] = torch.get_device_module(self.device).get_rng_state()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": random,
            "order": self._begun,
            "epoch": self._epoch,
            "batch": self._batch,
            "total": self._total,
            "before": self._before if self._batch else [],
            "recorded": [astuple(epoch) for epoch in self.recorded],
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Be where a training of the same run was when `state` answered ``state``."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(state["random"][self.device.type])
        self._begun = state["order"]  # a second stop in the same epoch saves it again
        self.order.set_state(self._begun)
        self._epoch, self._batch = state["epoch"], state["batch"]
        self._total = state["total"].to(self.device)
        self._before = [weight.to(self.device) for weight in state["before"]]
        self.recorded = [Epoch(*epoch) for epoch in state["recorded"]]

    def check(self, part: Split) -> None:
        """Let the network answer two examples of ``part``.

        Raises:
            UserError: it does not take them, or its answer has another shape than (examples, outputs).
        """
        run = self.run
        model = run.model.name
        channels = len(run.normalize.mean) if run.normalize else 1
        if channels not in (1, self.data.input_shape[0] if self.data.input_shape else 1):
            raise UserError(
                f"normalize is for {channels} channels, but {run.dataset.name} has {self.data.input_shape[0]}"
            )
        few = Split(part.x[:2], part.y[:2])
        expected = (len(few), outputs(run.loss, len(self.data.classes)))
        try:
            (answer, _), *_ = answers(self.model, few, self.data, run, self.device)
        except Exception as error:  # whatever somebody's network raises
            reason = " ".join(str(error).split())
            raise UserError(f"model {model} does not take the data of {run.dataset.name}: {reason}") from error
        if tuple(getattr(answer, "shape", ())) != expected:
            shape = tuple(getattr(answer, "shape", ())) or type(answer).__name__
            raise UserError(f"model {model} answers {len(few)} examples with {shape}; it must be {expected}")

    def stands_still(self, before: list[Tensor]) -> bool:
        """Whether there is no gradient, and an epoch has left the weights as they were ``before``."""
        weights = list(self.model.parameters())
        return all(weight.grad is None or not weight.grad.any() for weight in weights) and all(
            torch.equal(weight, old) for weight, old in zip(weights, before, strict=True)
        )

    def dead(self, part: Split) -> bool:
        """Whether the network answers all examples of ``part`` exactly alike."""
        first = None
        for answer, _ in answers(self.model, part, self.data, self.run, self.device):
            first = answer[:1] if first is None else first
            if not torch.equal(answer, first.expand_as(answer)):
                return False
        return len(part) > 1


def train(
    trainings: Sequence[Training], train: Split, val: Split, between: Callable[[], None] = lambda: None
) -> Iterator[tuple[Training, Epoch]]:
    """Train, and yield the figures of each epoch that is recorded; a run's last is one that diverged or ended dead.

    Args:
        trainings: one; or several at the same place whose networks are `small`, which are trained as one stack.
        train: the examples to train on.
        val: those to validate on.
        between: called before each batch; what `Training.state` answers then is enough to go on from there.
    """
    first, live = trainings[0], list(trainings)
    assert len(live) == 1 or all(map(small, live)), "only small networks are trained together"
    run, loss_of = first.run, LOSSES[first.run.loss]
    x, y = train.x.to(first.device), train.y.to(first.device)
    lengths = (train.x != 0).sum(dim=1) if first.data.kind == "text" else None
    stack = stack_of(live)
    whole = torch.arange(len(x), device=first.device)
    while live:
        for batch in zip(*[each.begin(len(x), lengths) for each in live], strict=True):
            between()
            if stack is not None:
                places = [whole] * len(live) if isinstance(batch[0], slice) else list(batch)
                place = torch.stack(places)
                losses = stack.gradients(inputs(take(x, place), first.data, run), take(y, place))
                for each, loss in zip(live, losses.unbind(), strict=True):
                    each.step(loss, place.shape[1])
            else:
                target = take(y, batch[0])
                first.optimizer.zero_grad()
                loss = loss_of.of(first.model(inputs(take(x, batch[0]), first.data, run)), target)
                loss.backward()  # type: ignore[no-untyped-call]
                first.step(loss.detach(), len(target))
        for each in live:
            if figures := each.end(val, len(x)):
                yield each, figures
        if any(each.over for each in live):
            live = [each for each in live if not each.over]
            stack = stack_of(live)


def stack_of(trainings: Sequence[Training]) -> Stack | None:
    """The stack of runs whose networks are `small`; None of others, of which there is one."""
    networks = [each.model for each in trainings if isinstance(each.model, models.MLP) and small(each)]
    return Stack(networks, LOSSES[trainings[0].run.loss]) if networks else None


def small(training: Training) -> bool:
    """Whether a run is trained in a stack, be it alone there: its network is so small that calling torch costs most.

    It is a property of the run and of nothing else, as a stack's bits differ from those of a network by itself.
    """
    weights = sum(weight.numel() for weight in training.model.parameters())
    return isinstance(training.model, models.MLP) and weights * training.run.batch_size <= SMALL


def steady(training: Training) -> bool:
    """Whether a run is faster with several threads, and its bits are those of one.

    Of a convolution they are not: each thread adds up gradients of its own examples. Of somebody's own network it is
    not known.
    """
    return isinstance(training.model, models.MLP | models.LSTM) and not small(training)


def network(run: Run, data: Summary, vectors: Tensor | None = None) -> nn.Module:
    """The untrained network of a run, drawn from torch's global generator.

    Args:
        run: what to build it for.
        data: the summary of the data that it is trained on.
        vectors: pretrained word vectors to begin with, (vocabulary, dimensions).

    Raises:
        UserError: it cannot be built.
    """
    shape = data.input_shape if run.max_length is None else [run.max_length]
    if run.loss == "bce-with-logits" and len(data.classes) != 2:
        raise UserError(f"loss {run.loss} is for two classes; {data.dataset} has {len(data.classes)}")
    built = models.build(run.model.model_dump(), shape, outputs(run.loss, len(data.classes)), data.vocabulary_size)
    if vectors is not None:
        embedding = next((each for each in built.modules() if isinstance(each, nn.Embedding)), None)
        if embedding is None or embedding.weight.shape != vectors.shape:
            needed = "no embedding" if embedding is None else f"an embedding of {tuple(embedding.weight.shape)}"
            raise UserError(f"the word vectors are {tuple(vectors.shape)}, but model {run.model.name} has {needed}")
        embedding.weight.data.copy_(vectors)
    return built


def batches(
    examples: int, size: int, generator: torch.Generator, lengths: Tensor | None = None
) -> Sequence[Tensor | slice]:
    """The places of the examples of each batch of an epoch, in a random order.

    Texts of one batch are about as long, so that little of it is filling: pools of batches are sorted by length, and
    the batches put in a random order again.

    Args:
        examples: how many there are.
        size: of a batch; the last may be smaller.
        generator: where the order is drawn from.
        lengths: of texts, (examples,).
    """
    if size >= examples:
        return [slice(None)]  # all in one batch: their order is no matter
    order = torch.randperm(examples, generator=generator)
    if lengths is None:
        return torch.split(order, size)
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(order, POOL * size)]
    made = [batch for pool in pools for batch in torch.split(pool, size)]
    return [made[place] for place in torch.randperm(len(made), generator=generator).tolist()]


def take(part: Tensor, places: Tensor | slice) -> Tensor:
    """What is at ``places``, of any shape, of the first dimension of ``part``: `part[places]`, but faster."""
    if isinstance(places, slice):
        return part[places]
    return part.index_select(0, places.flatten()).view(*places.shape, *part.shape[1:])


def inputs(x: Tensor, data: Summary, run: Run) -> Tensor:
    """What the network sees of examples as they are stored.

    Pictures become float32 in [0, 1], or what `normalize` makes of it; a batch of texts is cut to its longest.
    """
    if data.kind == "text":
        return x[:, : int((x != 0).sum(dim=1).max().clamp(min=1))]
    if data.kind == "number":
        return x
    pixels = x / data.white
    if run.normalize is None:
        return pixels
    mean, std = (torch.tensor(each, device=x.device)[:, None, None] for each in (run.normalize.mean, run.normalize.std))
    return (pixels - mean) / std


SCORING_BATCH = {"image": 512, "number": 512, "text": 128}
"""How many examples are scored at once: more are faster up to a point, and take memory."""


@torch.no_grad()
def answers(
    model: nn.Module, part: Split, data: Summary, run: Run, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs and targets of ``part``, batch by batch, on ``device``; of texts the shortest first, as filling costs."""
    model.eval()
    size = SCORING_BATCH[data.kind]
    x_all, y_all = part.x, part.y
    if data.kind == "text":
        order = (x_all != 0).sum(dim=1).argsort(stable=True)
        x_all, y_all = x_all[order], y_all[order]
    for x, y in zip(torch.split(x_all, size), torch.split(y_all, size), strict=True):
        yield model(inputs(x.to(device), data, run)), y.to(device)


@torch.no_grad()
def score(model: nn.Module, part: Split, data: Summary, run: Run, device: torch.device) -> tuple[float, float | None]:
    """Loss (mean over the examples, or sum) and accuracy (share of them, 0 to 1; None without classes) on ``part``."""
    loss = LOSSES[run.loss]
    total = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for output, y in answers(model, part, data, run, device):
        total += loss.of(output, y).double() * (len(y) if loss.mean else 1)
        if loss.correct is not None:
            correct += loss.correct(output, y).sum()
    accuracy = correct.item() / len(part) if loss.correct is not None else None
    return total.item() / (len(part) if loss.mean else 1), accuracy
