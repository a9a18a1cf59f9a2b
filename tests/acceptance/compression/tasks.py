"""The tasks: a trained base, its data, and what determines them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship import cache
from edgeship.data import DataOptions
from edgeship.errors import UnavailableError
from edgeship.pipeline import steps
from tests.acceptance.compression import bases, code
from tests.acceptance.compression.data import SHARED

if TYPE_CHECKING:
    from edgeship.child import Worker
    from edgeship.types import Dataset, Source

_HERE = Path(__file__).parent
#: Splits and calibration samples, the same for all methods and seeds.
OPTIONS = DataOptions(seed=0, calibration_samples=500)


@dataclass(frozen=True)
class Task:
    """Something that a base model does.

    Attributes:
        data: `module:function`.
        given: the trained base beside the checkout, below `../shared/data`; empty where `bases` trains one.
        augment: variations of training batches, those that the base was trained with (`DataOptions.augment`).
        batch_size: of the peers' training: that of our recipes, which are run as they are.
    """

    name: str
    data: str
    given: str = ""
    augment: tuple[str, ...] = ()
    batch_size: int = 64

    def base(self) -> Path:
        """The trained base. Raises UnavailableError where it is not there (yet)."""
        path = SHARED / self.given if self.given else place() / self.name / "base" / "model.keras"
        if not path.is_file():
            remedy = "" if self.given else f"python -m tests.acceptance.compression --only '{self.name}/base'"
            raise UnavailableError(f"{self.name}: there is no base model at {path}", remedy=remedy)
        return path

    def open(self, worker: Worker) -> tuple[Source, Dataset]:
        """The base and the data, divided the same way for everyone."""
        source = steps.open_source(worker, self.base(), (), allow_unsafe=False)
        return source, steps.open_data(worker, self.data, source, OPTIONS)

    def determines(self) -> dict[str, object]:
        """What the task is, as plain data."""
        files = [_HERE / "data.py", _HERE.parent / "cifar10.py"]
        trained: dict[str, object] = {}
        if not self.given:
            trained = {
                "trainer": code.digest([_HERE / "train_base.py"]),
                "schedule": asdict(bases.SCHEDULES[self.name]),
                "ends": [asdict(spec) for spec in (bases.INPUTS[self.name], *bases.OUTPUTS)],
            }
        return {"data": self.data, "given": self.given, "code": code.digest(files), "batch": self.batch_size, **trained}


_IMAGES = ("flip", "crop")
_MODULE = "tests.acceptance.compression.data"
TASKS = {
    task.name: task
    for task in (
        Task("cifar10", f"{_MODULE}:cifar10", "base/resnet8_cifar10_jpeg.keras", augment=_IMAGES),
        Task("mnist", f"{_MODULE}:mnist", "tfjs_reference/mnist_cnn/mnist_cnn.keras"),
        Task("gesture", f"{_MODULE}:gesture"),
        Task("mobilenetv2", f"{_MODULE}:cifar10", augment=_IMAGES),
    )
}


#: The task of the comparison; the others only show that recipes carry over.
FRONT_TASK = "cifar10"


def place() -> Path:
    """Where bases, exported files and locks lie: in edgeship's cache, outside of the repository."""
    return cache.root() / "compression-acceptance"
