"""Several torch optimizers as one."""

from collections.abc import Callable
from itertools import islice
from typing import Any, overload

import torch
from torch.optim import Optimizer


class Together(Optimizer):
    """Several optimizers as one: a scheduler and a checkpoint find the parameter groups and the state of all.

    Args:
        optimizers: each of other weights. The first counts where only one can, as for the rate that is recorded.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        first, *others = (optimizer.defaults for optimizer in optimizers)
        common = {key: value for key, value in first.items() if all(key in other for other in others)}
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], common)
        self.optimizers = optimizers
        for optimizer in optimizers:
            self.state.update(optimizer.state)
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state; `load_state_dict` calls this."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for optimizer in self.optimizers:
            optimizer.param_groups = [*islice(groups, len(optimizer.param_groups))]
            optimizer.state = self.state

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all weights; ``closure`` computes the loss before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss
