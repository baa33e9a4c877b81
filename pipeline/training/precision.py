"""Autocast, where a run computes in bfloat16; its weights and its optimizer stay float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.runs.run import Run


def autocast(run: "Run", device: torch.device) -> AbstractContextManager[object]:
    """Return what to compute outputs and losses of a run in."""
    return torch.autocast(device.type, torch.bfloat16) if run.precision == "bfloat16" else nullcontext()


def check_precision(run: "Run", device: torch.device) -> None:
    """Raise a UserError if a device cannot compute in the precision of a run, or only pretends to."""
    if run.precision != "bfloat16":
        return
    can = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if can:
        try:
            with autocast(run, device):
                can = (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).dtype == torch.bfloat16
        except RuntimeError:
            can = False
    if not can:
        raise UserError(f"precision bfloat16: not on this {device.type} device; allowed: float32")
