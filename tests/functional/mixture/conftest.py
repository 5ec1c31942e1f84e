import jaxtyping
import pytest


@pytest.fixture
def untyped():
    """What a user sees: shapes are checked by the functions themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
