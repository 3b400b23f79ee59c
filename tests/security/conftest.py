"""The real node under attack, with the fixtures of the other tests on it."""

from tests.orthanc.conftest import pair, shared_pair

__all__ = ["pair", "shared_pair"]
