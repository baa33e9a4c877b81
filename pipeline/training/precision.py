"""Functions for computing in bfloat16 with autocast; the weights and the optimizer's state stay in float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


def autocast(workload: "Workload", device: torch.device) -> AbstractContextManager[object]:
    """Return a context for computing outputs and losses, which turns autocast on if the workload uses bfloat16."""
    return torch.autocast(device.type, torch.bfloat16) if workload.precision == "bfloat16" else nullcontext()


def check_precision(workload: "Workload", device: torch.device) -> None:
    """Raise a UserError if the device cannot compute in the workload's precision, or can only emulate it."""
    if workload.precision != "bfloat16":
        return
    can = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if can:
        try:
            with autocast(workload, device):
                can = (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).dtype == torch.bfloat16
        except RuntimeError:
            can = False
    if not can:
        raise UserError(f"precision bfloat16: not on this {device.type} device; allowed: float32")
