import pytest

from tests.reporting.folders import write_result_folder


@pytest.fixture(scope="session")
def regression_folder(tmp_path_factory):
    """Two methods, two seeds, one task; tests must not change it."""
    return write_result_folder(tmp_path_factory.mktemp("runs") / "esol", unit="log mol/L", level=0.9)


@pytest.fixture(scope="session")
def classification_folder(tmp_path_factory):
    """Two methods, two seeds, three tasks; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "tox21"
    return write_result_folder(
        folder, task_type="classification", dataset="tox21", methods=("deterministic", "temperature"), tasks=3
    )
