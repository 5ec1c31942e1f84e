import matplotlib
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test."""
    from matplotlib import pyplot

    yield
    pyplot.close("all")
