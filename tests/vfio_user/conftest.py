"""A server of the card for each test, and a client that has greeted it."""

import pytest

from tests.vfio_user.client import Client
from tests.vfio_user.place import Place


@pytest.fixture
def place(tmp_path):
    it = Place(tmp_path / "card")
    yield it
    it.close()


@pytest.fixture
def client(place):
    it = Client(place.path)
    it.greet()
    yield it
    it.close()
