"""Defines `TorchCall`, which describes a torch scheduler so that it can be built or exported as code."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class TorchCall:
    """A call to a class in `torch.optim.lr_scheduler`."""

    class_: str
    """The name of torch's class."""
    arguments: dict[str, Any]
    """All arguments except the optimizer. If there is an argument `schedulers`, it is a list of `TorchCall`s."""

    def build(self, optimizer: "Optimizer") -> "LRScheduler | ReduceLROnPlateau":
        """Return a new torch scheduler for ``optimizer``."""
        from torch.optim import lr_scheduler

        arguments = dict(self.arguments)
        if "schedulers" in arguments:
            arguments["schedulers"] = [part.build(optimizer) for part in arguments["schedulers"]]
        scheduler: LRScheduler | ReduceLROnPlateau
        scheduler = getattr(lr_scheduler, self.class_)(optimizer=optimizer, **arguments)
        return scheduler


def factor_call(factor: Callable[..., float], **arguments: Any) -> TorchCall:
    """Return the call that creates a LambdaLR whose rate is the base rate times ``factor(step, **arguments)``.

    `pipeline export` copies the source of ``factor``, so ``factor`` must be a top-level function that uses only `math`.
    The lines of ``factor`` must be at most 88 characters long.
    """
    return TorchCall("LambdaLR", {"lr_lambda": partial(factor, **arguments) if arguments else factor})
