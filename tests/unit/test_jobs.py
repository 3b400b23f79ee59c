"""A job's identity is its content; what the queue's database holds is JSON."""

import pytest

from pipeline.errors import GlioLoopError
from pipeline.jobs import JsonSerializer, ProcessOptions, fresh_nonce, job_id

UIDS = ["1.2.3", "1.2.4", "1.2.5"]


def test_identity_is_the_content() -> None:
    one = job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}})
    assert one == job_id("study", list(reversed(UIDS)), "net@1", {"series": {"t1": "1.9"}})
    others = {
        job_id("study", UIDS[:2], "net@1", {"series": {"t1": "1.9"}}),
        job_id("study", UIDS, "net@2", {"series": {"t1": "1.9"}}),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.8"}}),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}}, fresh_nonce()),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}}, fresh_nonce()),
    }
    assert one not in others
    assert len(others) == 5


def test_errors_survive_the_database() -> None:
    serializer = JsonSerializer()
    error = serializer.deserialize(serializer.serialize(GlioLoopError("SEQUENCE_MISSING", "t2", {"a": [1]})))
    assert isinstance(error, GlioLoopError)
    assert (error.code, error.detail, error.data) == ("SEQUENCE_MISSING", "t2", {"a": [1]})
    unforeseen = serializer.deserialize(serializer.serialize(ValueError("no")))
    assert (unforeseen.code, unforeseen.detail) == ("INTERNAL", "ValueError: no")


def test_only_json_is_stored() -> None:
    with pytest.raises(TypeError):
        JsonSerializer().serialize(object())


@pytest.mark.parametrize("model", ["../x@1", "a/b@1", "net@", "x" * 200])
def test_names_that_could_be_paths_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="model"):
        ProcessOptions(model=model)
