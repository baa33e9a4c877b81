"""Defines the settings of Muon and of the optimizer for the weights that Muon does not train."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, Strict, field_validator, model_serializer, model_validator

from pipeline.errors import UserError
from pipeline.optimizers.base import Optimizer, exempt
from pipeline.optimizers.torch_optim import check, classes
from pipeline.settings import NonNegative, Rate, Resolved, Settings, error_at, validated_by_class
from pipeline.user_code import is_builder

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as TorchOptimizer


class Rest(Settings):
    """The optimizer for the weights that Muon does not train, with its own base rate."""

    optimizer: Optimizer
    """The optimizer, which can be any of torch's optimizers except Muon."""
    lr: Rate | None = None
    """The base rate of this optimizer; null for the run's base rate."""

    @model_validator(mode="before")
    @classmethod
    def _lr_apart(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        name = given.get("class")
        if is_builder(name):
            raise error_at("class", name, "value_error", "the rest must have a class of torch, not one of your own")
        if name == "Muon":
            raise error_at("class", name, "value_error", "Muon trains only matrices; choose another class for the rest")
        others = {key: kind for key, kind in classes(given).items() if key != "Muon"}
        settings = {key: value for key, value in given.items() if key != "lr"}
        return {"optimizer": validated_by_class(settings, others), "lr": given.get("lr")}

    @model_serializer
    def _as_in_params(self) -> Resolved:
        return self.optimizer.resolve() | {"lr": self.lr}


class Muon(Optimizer):
    """Muon for the hidden matrices of a network, and another optimizer for the other weights.

    The function `hidden_matrices` returns the weights that Muon trains. Muon's Newton-Schulz iteration uses bfloat16.

    Source: Jordan 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; the documentation of `torch.optim.Muon`.
    """

    fused = False
    thread_invariant = False  # because sums over whole matrices depend on the number of threads

    weight_decay: NonNegative = 0.1
    """Strength of the decoupled weight decay: each step multiplies the weights by 1 - rate * weight_decay."""
    momentum: NonNegative = 0.95
    """Decay rate of the running average of the gradient."""
    nesterov: bool = True
    """True to use Nesterov's momentum."""
    ns_coefficients: Annotated[tuple[float, float, float], Strict(False)] = (3.4445, -4.775, 2.0315)
    """Coefficients of the Newton-Schulz iteration."""
    eps: float = 1e-7
    """Lower limit of the norm by which a matrix is divided before the Newton-Schulz iteration."""
    ns_steps: Annotated[int, Field(ge=1, lt=100)] = 5
    """The number of steps of the Newton-Schulz iteration."""
    adjust_lr_fn: str | None = None
    """How torch adjusts the rate to the shape of a matrix; null for `original`, which is torch's default."""
    rest: Rest
    """The optimizer for all other weights, with its own base rate `lr`."""

    @field_validator("adjust_lr_fn")
    @classmethod
    def _torch_takes_it(cls, value: str | None) -> str | None:
        if value is not None:
            check("Muon", {"adjust_lr_fn": value})
        return value

    @property
    def cycled(self) -> str | None:
        return super().cycled if super().cycled == self.rest.optimizer.cycled else None

    def parts(self) -> list[Optimizer]:
        return [self.rest.optimizer]

    def base_rates(self, lr: float) -> list[float]:
        return [lr, self.rest.lr or lr]

    def check_decay(self, name: str) -> None:
        self.rest.optimizer.check_decay(f"the rest of {name}")

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in super().arguments().items() if name != "rest"}

    def build(self, network: "nn.Module", lr: float, no_decay: Collection[str] = ()) -> "TorchOptimizer":
        from pipeline.optimizers._together import Together, hidden_matrices, other_weights

        hidden = hidden_matrices(network)
        if not hidden:
            raise UserError(
                "Muon: the network has no hidden matrix, which is a weight with two dimensions that is neither an "
                "embedding nor the first or the last weight; choose another optimizer"
            )
        own, rest = self.base_rates(lr)
        return Together(
            self.of(hidden, own), self.rest.optimizer.of(other_weights(network), rest, exempt(network, no_decay))
        )
