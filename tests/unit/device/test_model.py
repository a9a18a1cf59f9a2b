"""What an application gets, and what it may give."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from tests.device_repository import LABELS, Published, X, expected, weights
from tests.enrolled_device import Device

from edgeship.device import Model, state
from edgeship.device.config import Probation
from edgeship.errors import ArtifactError, DataError, InputError, MissingPackageError


@pytest.fixture
def installed(device: Device) -> Device:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    return device


@pytest.fixture
def model(installed: Device) -> Iterator[Model]:
    with installed.model() as found:
        yield found


def test_batches_of_any_size_give_what_samples_give(model: Model) -> None:
    alone = np.concatenate([model.predict(X[k : k + 1]).outputs["probabilities"] for k in range(len(X))])
    together = model.predict({"x": X})
    np.testing.assert_array_equal(together.outputs["probabilities"], alone)
    np.testing.assert_allclose(alone, expected(X, 1), atol=1e-5)
    assert together.labels == tuple(LABELS[k] for k in expected(X, 1).argmax(axis=1))


def test_values_outside_their_range_are_counted_not_refused(model: Model) -> None:
    given = np.zeros((2, 4), np.float32)
    given[0, :3] = 100
    assert model.predict(given).outside == {"x": 3}


@pytest.mark.parametrize(
    "given",
    [
        np.zeros(4, np.float32),
        np.zeros((1, 5), np.float32),
        np.zeros((0, 4), np.float32),
        np.full((1, 4), np.nan, np.float32),
        np.full((1, 4), np.inf, np.float32),
        np.full((1, 4), 1e300),
        np.array([["a"] * 4]),
        np.zeros((1, 4), np.complex64),
        {"y": np.zeros((1, 4), np.float32)},
        {"x": np.zeros((1, 4), np.float32), "y": np.zeros((1, 4), np.float32)},
        {},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(model: Model, given: object) -> None:
    with pytest.raises(DataError):
        model.predict(given)  # type: ignore[arg-type]
    assert model.predict(X).version == "1.0.0"


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_])
def test_other_kinds_of_numbers_are_taken_where_nothing_is_lost(model: Model, dtype: type) -> None:
    given = (np.abs(X) > 1).astype(dtype)
    np.testing.assert_allclose(
        model.predict(given).outputs["probabilities"], expected(given.astype(np.float32), 1), atol=1e-5
    )


def test_a_new_release_is_taken_between_two_calls(installed: Device, published: Published, model: Model) -> None:
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    assert model.predict(X).version == "1.0.0"
    installed.update()
    found = model.predict(X)
    assert (found.version, model.version) == ("1.1.0", "1.1.0")
    np.testing.assert_allclose(found.outputs["probabilities"], expected(X, 2), atol=1e-5)


def test_a_release_that_cannot_be_loaded_is_voted_against_and_the_one_before_goes_on(
    installed: Device, published: Published, model: Model
) -> None:
    installed.set(probation=Probation(failures=1))
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    installed.update()
    (installed.place.slot("b") / "files/model.tflite").write_bytes(b"")
    assert model.predict(X).version == "1.0.0"
    assert model.predict(X).version == "1.0.0"


def test_a_damaged_release_is_not_loaded_and_the_one_before_is(installed: Device, published: Published) -> None:
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    installed.update()
    file = installed.place.slot("b") / "files/model.tflite"
    content = bytearray(file.read_bytes())
    content[content.index(weights(2).tobytes()) + 1] ^= 1  # a number that LiteRT takes as it takes any other
    file.write_bytes(bytes(content))
    with installed.model() as model:
        assert model.predict(X).version == "1.0.0"


def test_a_device_whose_only_release_is_damaged_says_what_to_do(installed: Device) -> None:
    (installed.place.slot("a") / "files/model.tflite").unlink()
    with pytest.raises(ArtifactError, match="damaged") as caught:
        installed.model()
    assert "edgeship device update" in caught.value.remedy
    assert installed.update().result == "updated"
    with installed.model() as model:
        assert model.predict(X).version == "1.0.0"


def test_without_a_release_there_is_no_model(device: Device) -> None:
    with pytest.raises(ArtifactError, match="no model yet"):
        device.model()


def test_without_an_enrolment_there_is_no_model(device: Device) -> None:
    with pytest.raises(InputError, match="not enrolled"):
        Model("other", folder=device.place.folder.parent)
    with pytest.raises(InputError, match="no model is enrolled"):
        Model(folder=device.place.folder)


def test_threads_share_a_model(installed: Device, published: Published, model: Model) -> None:
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    wrong: list[object] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            found = model.predict(X)
            seed = {"1.0.0": 1, "1.1.0": 2}[found.version]
            if not np.allclose(found.outputs["probabilities"], expected(X, seed), atol=1e-5):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        installed.update()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert model.predict(X).version == "1.1.0"


@pytest.fixture
def trying(installed: Device, published: Published) -> Device:
    """1.1.0 in probation, 1.0.0 before it."""
    installed.set(probation=Probation(starts=2, minutes=60, failures=2))
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    installed.update()
    return installed


def test_an_application_without_a_runtime_says_nothing_about_the_release(
    trying: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingPackageError("LiteRT is not installed")

    with monkeypatch.context() as without:
        without.setattr("edgeship.device.model._open", missing)
        for _ in range(3):
            with pytest.raises(MissingPackageError):
                trying.model()
    found = state.read(trying.place)
    assert found.probation is not None
    assert (found.probation.failures, found.failed) == (0, ())
    assert not list(trying.place.starts.iterdir())


def test_what_serves_in_its_place_says_nothing_about_a_damaged_release(trying: Device) -> None:
    active = state.read(trying.place).active
    (trying.place.slot(active or "") / "files" / "model.tflite").write_bytes(b"damaged")
    with trying.model() as model:
        assert model.version == "1.0.0"
        for _ in range(12):
            model.predict(X)
        model.report(ok=False)
    found = state.read(trying.place)
    assert found.probation is not None
    assert (found.probation.starts, found.probation.failures, found.failed) == (0, 0, ())
