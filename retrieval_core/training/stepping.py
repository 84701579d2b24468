"""What every optimizer step does and tells."""

import math
from collections.abc import Callable

from torch import Tensor
from torch.optim import Adam

from retrieval_core.config import TrainingConfig
from retrieval_core.errors import DivergenceError
from retrieval_core.training.optimizer import learning_rate, set_learning_rate

OnStep = Callable[[int, int, float], None]


class Stepper:
    """Takes the steps of one epoch, each at its learning rate.

    Args:
        optimizer: over what learns.
        config: schedule of the learning rate, and for how many epochs.
        epoch: number of the epoch, >= 1.
        steps: number of its steps.
        on_step: called after every step with its number, `steps` and its mean loss.
    """

    def __init__(
        self,
        optimizer: Adam,
        config: TrainingConfig,
        epoch: int,
        steps: int,
        on_step: OnStep | None,
    ) -> None:
        self.steps = steps
        self._optimizer = optimizer
        self._config = config
        self._epoch = epoch
        self._on_step = on_step
        self._step = 1
        self._losses: list[float] = []

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradient to the step.

        Raises:
            DivergenceError: the loss is not finite.
        """
        self._losses.append(loss.item())
        if not math.isfinite(self._losses[-1]):
            where = f"in step {self._step} of {self.steps}"
            raise DivergenceError(f"the loss is {self._losses[-1]} {where}")
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Change the weights by the gradients since the last step."""
        rate = learning_rate(
            self._config.optimizer,
            self._config.epochs,
            epoch=self._epoch,
            step=self._step,
            steps=self.steps,
        )
        set_learning_rate(self._optimizer, rate)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._on_step and self._losses:
            self._on_step(self._step, self.steps, sum(self._losses) / len(self._losses))
        self._step += 1
        self._losses = []
