"""How text is drawn from a language model."""

from typing import Annotated

from pydantic import Field

from pipeline.settings.base import NonNegative, Settings


class Sampling(Settings):
    """What `uv run pipeline sample` and a published language model may be asked for."""

    tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """How many to draw."""
    temperature: NonNegative = 1.0
    """What logits are divided by; 0 takes the most likely token each time."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of what is drawn."""
