import pytest

from tests.support.memory_store import MemoryStore


@pytest.fixture
def store():
    return MemoryStore()
