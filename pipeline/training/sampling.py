"""Text from a language model, one token after another."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def continued(
    network: nn.Module, beginning: Sequence[int], context: int, tokens: int, temperature: float, seed: int
) -> list[int]:
    """Draw the tokens that follow others.

    Args:
        network: takes (1, context) tokens, and answers (1, context, vocabulary) logits.
        beginning: at least one token; the last ``context`` of them count.
        context: tokens that the network sees.
        tokens: how many to draw.
        temperature: what logits are divided by; 0 takes the most likely token each time.
        seed: of what is drawn.

    Returns:
        The new tokens.
    """
    network.eval()
    generator = torch.Generator().manual_seed(seed)
    text = [*beginning]
    for _ in range(tokens):
        seen = text[-context:]
        # A window is always whole, as a network of the user's own may know no other length. What follows is not seen.
        x = torch.tensor([seen + [0] * (context - len(seen))], dtype=torch.int32)
        text.append(_drawn(network(x)[0, len(seen) - 1], temperature, generator))
    return text[len(beginning) :]


def _drawn(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    likely = torch.softmax((logits.double() - logits.max()) / temperature, dim=0)
    return int(torch.multinomial(likely, 1, generator=generator))
