"""What several files of tests are given."""

import random

import pytest


@pytest.fixture(params=range(6))
def r(request):
    """Several random draws a test, the same in every run."""
    return random.Random(request.param * 7919 + sum(map(ord, request.node.originalname)))
