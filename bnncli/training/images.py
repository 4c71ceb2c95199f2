"""Train on batches of labelled images: the usual way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.data.augment import parse_augment
from bnncli.data.exams import CLASSIFICATION
from bnncli.errors import UsageError
from bnncli.training.building import build, build_optimizer, uses_bfloat16
from bnncli.training.evaluate import accuracy
from bnncli.training.loop import Trainer
from bnncli.training.memory import Memory, measure_memory
from bnncli.training.trainers import refuse_given, trainer

if TYPE_CHECKING:
    import torch

    from bnncli.data import ImageData
    from bnncli.training.config import Settings


class ImageTraining(Trainer):
    """The training loop with what a run asks of it beside the steps."""

    def checkpoint(self) -> dict[str, Any]:
        """Give all that it takes to go on to the same bits."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self.progress).update(state["progress"])

    def memory(self, *, peak_of: str) -> Memory:
        """Measure what training holds, after its last step."""
        return measure_memory(self.model, self.optimizer, peak_of=peak_of)

    def test(self) -> dict[str, Any]:
        """Read the test set with the weights as they are."""
        return {"test_hard_accuracy": accuracy(self.model, self.data.test, form="hard")}


@trainer("images", "steps on batches of labelled images")
def image_training(settings: Settings, data: ImageData, *, device: torch.device) -> ImageTraining:
    """Build the training of resolved settings, at step 0 and without reporters."""
    train = settings.train
    refuse_given(settings, ["train.restarts"], "only trainers table and rollouts start again")
    refuse_given(settings, ["train.rounding"], "only trainer rollouts has states to round")
    if data.exam is not CLASSIFICATION:
        raise UsageError(
            f"trainer images: {data.name} has boards to step and no labels; give --arch dlca"
        )
    if len(data.train) < train.batch_size:
        raise UsageError(
            f"batch_size={train.batch_size} but {data.name} has {len(data.train)} training images; "
            f"give a smaller --batch-size"
        )
    model = build(settings, data).to(device)
    return ImageTraining(
        model=model,
        optimizer=build_optimizer(model, train),
        data=data,
        augment=parse_augment(settings.data.augment),
        settings=train,
        bfloat16=uses_bfloat16(train.precision, device),
    )
