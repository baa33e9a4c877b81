"""A run that a worker is training, and its checkpoint."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import DamagedError

if TYPE_CHECKING:
    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.training.state import Training


@dataclass
class ActiveRun:
    """A run that this worker is training."""

    fingerprint: str
    training: "Training"
    checkpoint: "Checkpoint"
    complaints: list[str]
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    """Seconds that it took before it was stopped."""
    resumed: bool = False

    def save(self, seconds: float) -> None:
        """Save where it is, ``seconds`` after it was started or resumed."""
        if not self.training.over:
            state = {"started": self.started, "seconds": self.seconds + seconds}
            self.checkpoint.save({"training": self.training.state_dict(), **state})

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        try:
            if state := self.checkpoint.load():
                self.training.load_state_dict(state["training"])
                self.resumed, self.started, self.seconds = True, state["started"], state["seconds"]
        except DamagedError as damage:
            self.complaints.append(f"is trained from its start, as its checkpoint is damaged: {damage}")
