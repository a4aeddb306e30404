"""What several stages read."""

import pytest

from tests.stages.small_models import CLASSES, LEVELS, REAL, features_in
from tests.stores import write_store


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """Real images, a classifier that nobody trained, and its features of them: inputs by name, not to be changed."""
    folder = tmp_path_factory.mktemp("real")
    store = write_store(folder / "data", REAL, classes=CLASSES, levels=LEVELS)
    return {"PrepareDataset": store, **features_in(folder, store)}
