"""The number of outputs of a network. No torch: the parent process, which imports none, asks too."""


def outputs(loss: str, classes: int, vocabulary_size: int = 0) -> int:
    """Return the number of outputs that a network needs for a loss; of a language model, for each token."""
    if loss == "next-token":
        return vocabulary_size
    return 1 if loss in ("bce-with-logits", "squared-error", "mean-squared-error") else classes
