"""Every kind of destination under every fault at once: nobody else waits, states are right, each object comes once."""

import contextlib
from pathlib import Path
from typing import Any, Final

from pipeline.node import LOOPBACK, free_port
from tests.faults.receivers import Scp, Web, hanging
from tests.faults.site import Layout, Site
from tests.patience import wait_for

SERVED_WITHIN: Final = 10
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
SCPS: Final = {
    "c-accepts": "accepts",
    "c-rejects": "rejects",
    "c-aborts": "aborts",
    "c-fails": "fails",
    "c-slow": "slow",
    "c-commits": "commits",
    "c-late": "commits late",
    "c-never": "commits never",
    "c-refuses": "refuses to commit",
    "c-jpeg": "accepts",
    "c-spare": "accepts",
}
WEB_FAULTS: Final = ("accepts", "401", "500", "503", "aborts", "hangs", "slow")
WEBS: Final = {f"{kind}-{one}": one for kind in ("web", "peer") for one in WEB_FAULTS}
#: What has everything at once, whatever the others do.
LIVING: Final = ("c-accepts", "c-commits", "c-jpeg", "web-accepts", "peer-accepts", "folder")
#: What never gets anything.
BROKEN: Final = (
    *("c-rejects", "c-aborts", "c-fails", "c-nobody", "no-folder", "file-for-folder"),
    *(f"{kind}-{one}" for kind in ("web", "peer") for one in ("401", "500", "503", "aborts", "nobody")),
)


def _destinations(folder: Path) -> list[dict[str, object]]:
    settings: list[dict[str, object]] = [{"Modality": name} for name in SCPS] + [
        {"Modality": "c-hangs"},
        {"Modality": "c-nobody"},
    ]
    by_name = {str(one["Modality"]): one for one in settings}
    for name in ("c-commits", "c-late", "c-never", "c-refuses"):
        by_name[name] |= {"Commitment": True, "CommitmentLateSeconds": 2}
    by_name["c-never"]["CommitmentMostSeconds"] = 6
    by_name["c-refuses"]["RetrySeconds"] = [0]
    by_name["c-fails"]["Alternate"] = "c-spare"
    by_name["c-jpeg"] |= {"TransferSyntax": JPEG_LS, "Send": ["rtstruct", "sr", "reference"]}
    webs: list[dict[str, object]] = [
        {"DicomWeb" if name.startswith("web") else "Peer": name} for name in (*WEBS, "web-nobody", "peer-nobody")
    ]
    webs[0] |= {"Send": ["rtstruct"]}
    folders: list[dict[str, object]] = [
        {"Folder": str(folder), "Name": "folder"},
        {"Folder": str(folder / "not mounted"), "Name": "no-folder"},
        {"Folder": __file__, "Name": "file-for-folder"},
    ]
    return settings + webs + folders


def _states(site: Site, job: str) -> dict[str, Any]:
    return {name: one["state"] for name, one in site.job(job)["deliveries"].items()}


def test_destinations_by_faults(tmp_path: Path, small_study: Path) -> None:
    exported = tmp_path / "exported"
    exported.mkdir()
    settings = {"Destinations": _destinations(exported), "ForwardRetrySeconds": [1]}
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(Site(Layout(tmp_path), small_study, settings))
        scps = {name: Scp(name, behaviour, site.pair.node.configuration) for name, behaviour in SCPS.items()}
        webs = {name: Web(name, behaviour) for name, behaviour in WEBS.items()}
        for one in (*scps.values(), *webs.values()):
            stack.enter_context(one.running())
        hangs = {"AET": "HANGS", "Host": LOOPBACK, "Port": stack.enter_context(hanging()), "Timeout": 60}
        nobody = {"AET": "NOBODY", "Host": LOOPBACK, "Port": free_port(), "Timeout": 8}
        modalities = {"c-hangs": hangs, "c-nobody": nobody, **{one: scp.modality for one, scp in scps.items()}}
        urls = {name: web.url for name, web in webs.items()}
        urls |= {name: f"http://{LOOPBACK}:{free_port()}/" for name in ("web-nobody", "peer-nobody")}
        with site.pair.node.client() as client:
            for name, modality in modalities.items():
                client.put(f"/modalities/{name}", json=modality).raise_for_status()
            for name, url in urls.items():
                path = f"/dicom-web/servers/{name}" if name.startswith("web") else f"/peers/{name}"
                client.put(path, json={"Url": url, "Username": "u", "Password": "p"}).raise_for_status()
        job = site.process()
        wait_for(lambda: len(_states(site, job)) > len(LIVING), 120, "the result")
        wait_for(
            lambda: {_states(site, job).get(name) for name in LIVING} == {"done"},
            SERVED_WITHIN,
            lambda: f"the living: {site.job(job)['deliveries']}",
        )
        assert {_states(site, job)[name] for name in ("c-hangs", "web-hangs", "peer-hangs")} == {"running"}

        def settled() -> bool:
            states = _states(site, job)
            return (
                {states[name] for name in BROKEN} == {"failed"}
                and {states[name] for name in ("c-slow", "web-slow", "peer-slow", "c-refuses")} == {"done"}
                and states.get("c-spare") == "done"
                and (states["c-never"], states["c-late"]) == ("uncommitted", "late")
            )

        wait_for(settled, 90, lambda: f"every state: {_states(site, job)}")
        scps["c-late"].commit()
        wait_for(lambda: _states(site, job)["c-late"] == "done", 60, "the late commitment")

        _check_shown(site, job)
        _check_received(scps, webs, exported)
        _check_again(site, job, scps)


def _check_shown(site: Site, job: str) -> None:
    """States, tries and history are those that happened."""
    deliveries = site.job(job)["deliveries"]
    assert deliveries["c-late"]["committed"] is True
    assert deliveries["c-never"]["error"]["code"] == "COMMITMENT_MISSING"
    assert deliveries["c-fails"]["replaced_by"] == "c-spare"
    for name in BROKEN:
        assert deliveries[name]["error"]["code"] == "FORWARD_FAILED", name
        assert deliveries[name]["attempts"] == 2, name
    histories = {one["destination"]: one["events"] for one in site.pair.get(f"/glioloop/jobs/{job}/deliveries")}
    assert [one["state"] for one in histories["c-aborts"]] == ["waiting", "failed"]
    assert histories["c-refuses"][0]["state"] == "committing"


def _check_received(scps: dict[str, Scp], webs: dict[str, Web], exported: Path) -> None:
    """Each object came once, or not at all."""
    everything = set(scps["c-accepts"].received.accepted)
    twice = {"c-refuses"}  # it said that it had not kept them
    for name, receiver in {**scps, **webs}.items():
        accepted = receiver.received.accepted
        if name in BROKEN or name.endswith("hangs"):
            assert not accepted, name
        else:
            assert set(accepted.values()) == {2 if name in twice else 1}, (name, accepted)
            assert set(accepted) <= everything or name == "c-jpeg", name
    assert set(scps["c-spare"].received.accepted) == everything
    assert JPEG_LS in scps["c-jpeg"].received.syntaxes
    assert {path.stem for path in exported.rglob("*.dcm")} == everything
    assert not list(exported.rglob("*.part"))


def _check_again(site: Site, job: str, scps: dict[str, Scp]) -> None:
    """One alone is asked for again; the rest stays as it is."""
    assert site.pair.post(f"/glioloop/jobs/{job}/deliveries/c-accepts/retry").status_code == 409
    assert site.pair.post(f"/glioloop/jobs/{job}/deliveries/nowhere/retry").status_code == 404
    scps["c-never"].behaviour = "commits"
    assert site.pair.post(f"/glioloop/jobs/{job}/deliveries/c-never/retry").status_code == 202
    wait_for(lambda: _states(site, job)["c-never"] == "done", 30, "the commitment that was asked for again")
    assert set(scps["c-never"].received.accepted.values()) == {1}
    assert site.pair.post(f"/glioloop/jobs/{job}/deliveries/c-hangs/cancel").status_code == 200
    assert _states(site, job)["c-hangs"] == "cancelled"
    listed = {one["name"]: one for one in site.pair.get("/glioloop/destinations")["destinations"]}
    assert listed["c-aborts"]["standing"]["failed"] == 1
    assert listed["c-accepts"]["standing"]["latest"] > "2000"
