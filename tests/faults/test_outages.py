"""What the archive does not say is no absence: a study is never refused for it."""

from pathlib import Path

import pytest

from pipeline.archive.client import HttpArchive
from pipeline.archive.study import find_study
from pipeline.errors import GlioLoopError, Kind
from pipeline.jobs.preparation import decide
from pipeline.settings import load_settings
from tests.faults.proxy import FAULTS, FaultyProxy
from tests.faults.site import Layout, Site


def test_every_answer_but_not_found_is_asked_for_again(tmp_path: Path, small_study: Path) -> None:
    """The first answers about every series are wrong, each in another way; the study is segmented all the same."""
    with FaultyProxy() as proxy:
        settings = {"OrthancUrl": proxy.url, "HttpTimeoutSeconds": 2, "Automatic": True}
        with Site(Layout(tmp_path), small_study, settings) as site:
            proxy.pattern, proxy.faults = "/instances/[^/]+/tags", ("503", "cut off", "no JSON", "hangs")
            proxy.upstream = site.pair.node.configuration.url
            job = site.pair.wait_job("done", "failed", "refused")
            assert job["state"] == "done", job["error"]
            assert len(proxy.met) == 4
            assert len(site.pair.get("/glioloop/jobs")) == 1


def test_what_does_not_pass_is_a_failure(tmp_path: Path, small_study: Path) -> None:
    """One series whose images the archive does not hand out, for ever, however it says so."""
    with FaultyProxy() as proxy, Site(Layout(tmp_path), small_study) as site:
        node = site.pair.node.configuration
        proxy.upstream = node.url
        section = {"OrthancUser": node.user, "OrthancPassword": node.password, "HttpTimeoutSeconds": 2}
        settings = load_settings({**section, "OrthancUrl": proxy.url})
        archive = HttpArchive(settings)
        study = find_study(archive, site.study)
        images = next(iter(study.series.values()))["Instances"]
        proxy.pattern, proxy.times = f"/instances/({'|'.join(images)})/tags", 1000
        for fault in (*FAULTS, "404", "410"):
            proxy.faults = (fault,)
            with pytest.raises(GlioLoopError) as raised:
                decide(archive, study, settings, {})
            assert raised.value.reason.kind is Kind.FAILURE, (fault, raised.value)
            expected = {
                "404": "IMAGE_WITHHELD",
                "410": "IMAGE_WITHHELD",
                "401": "ORTHANC_DENIED",
                "302": "ORTHANC_REFUSED",
            }
            assert raised.value.code == expected.get(fault, "ORTHANC_UNREACHABLE"), fault
        # One image that is gone is no reason to give a series up.
        proxy.pattern, proxy.faults = f"/instances/{sorted(images)[len(images) // 2]}/tags", ("404",)
        assert len(decide(archive, study, settings, {}).chosen) == 4
