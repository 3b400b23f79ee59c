"""How each fault strikes a site, and how it is mended."""

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.faults.destination import Destination
from tests.faults.site import ENDED, Layout, Site, tries
from tests.orthanc.conftest import STABLE_AGE, send
from tests.patience import PATIENCE, wait_for

OpenGate = Callable[[], None]
#: Puts things right again; called before the retry, or at the end.
Mend = Callable[[], None]


def nothing() -> None:
    """Nothing to mend."""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, small, mounted at a folder; skips where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk needs root: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left on a disk; return the file to remove."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    return path


def limit_memory(pid: int, spare_bytes: int) -> Callable[[], None]:
    """Let a process have this much more memory than it has, and no more; returns what gives it back."""
    status = Path(f"/proc/{pid}/status").read_text()
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    before = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + spare_bytes, before[1]))

    def give_back() -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, before)

    return give_back


# --- processes ---


def kill_worker(site: Site, gate: OpenGate) -> Mend:
    site.kill_worker()
    gate()
    return nothing


def halt_worker(site: Site, gate: OpenGate) -> Mend:
    pid = site.worker_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the halted worker's end")
    gate()
    return nothing


def kill_child(site: Site, gate: OpenGate) -> Mend:
    """As the kernel's out-of-memory killer does."""
    pid = site.gates.holder()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the child's end")
    gate()
    return nothing


def hang_stage(site: Site, gate: OpenGate) -> Mend:
    pid = site.gates.holder()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 120, "the hanging child's end")
    gate()
    return nothing


def take_memory(site: Site, gate: OpenGate) -> Mend:
    give_back = limit_memory(site.gates.holder(), spare_bytes=1 << 20)
    gate()
    return give_back


def kill_orthanc(site: Site, gate: OpenGate) -> Mend:
    with site.prober.pause():
        site.pair.node.kill()
        gate()
        time.sleep(3)  # the worker finds nobody there, time and again
        site.pair.node.start(60 * PATIENCE)
    return nothing


def power_cut(site: Site, gate: OpenGate) -> Mend:
    with site.prober.pause():
        site.power_cut()
        gate()
        site.pair.node.start(60 * PATIENCE)
    return nothing


# --- disks ---


def fill_state(site: Site, gate: OpenGate) -> Mend:
    filler = fill(site.layout.state)
    gate()
    return lambda: filler.unlink(missing_ok=True)


def fill_archive(site: Site, gate: OpenGate) -> Mend:
    """Room comes back by itself after a while, as when somebody deletes something."""
    filler = fill(site.layout.archive)
    gate()
    threading.Timer(6, filler.unlink).start()
    return nothing


# --- the clock ---

_CLOCK = Path(__file__).parent / "clock.c"
_DAY_SECONDS = 86_400


def fake_clock(layout: Layout) -> dict[str, str]:
    """Only the wall clock jumps; Debian's libfaketime breaks the monotonic clock's waits where it leaves that alone."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a clock that jumps needs a C compiler")
    layout.root.mkdir(parents=True, exist_ok=True)
    library, clock = layout.root / "clock.so", layout.root / "clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _CLOCK, "-ldl"], check=True)
    clock.write_bytes(struct.pack("q", 0))
    return {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(clock)}


def jump(site: Site, gate: OpenGate) -> Mend:
    """A day ahead while the stage is at work; at its end a day back."""
    with (site.layout.root / "clock").open("r+b") as clock:  # in place: every process has it mapped
        (seconds,) = struct.unpack("q", clock.read())
        clock.seek(0)
        clock.write(struct.pack("q", _DAY_SECONDS - seconds))
    gate()
    return nothing


# --- the study ---


def delete_study(site: Site, gate: OpenGate) -> Mend:
    site.delete_study()
    gate()
    return site.send_study


def send_series(site: Site, gate: OpenGate) -> Mend:
    """A series that arrives late; it is judged by itself, and taken away again at the end."""
    folder = site.layout.root / f"late-{time.time_ns()}"
    folder.mkdir()
    uid = generate_uid()
    for path in sorted((site.study_files / "t1").iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, "T1 SE AX REPEAT"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / path.name)
    send(site.pair, folder)
    gate()

    def mend() -> None:
        time.sleep(2 * STABLE_AGE + 1)  # the study is stable once more, and looked at
        wait_for(lambda: all(job["state"] in ENDED for job in site.ask("/glioloop/jobs")), 240, "every job's end")
        assert all(job["state"] == "done" for job in site.ask("/glioloop/jobs")), "a job that was not done"
        with site.pair.node.client() as client:
            (found,) = client.post("/tools/lookup", content=uid).json()
            client.delete(f"/series/{found['ID']}").raise_for_status()

    return mend


# --- models ---


def model_file(site: Site) -> Path:
    return site.layout.models / "bright" / "1.0.0" / "model.onnx"


def change_model(site: Site, gate: OpenGate) -> Mend:
    path = model_file(site)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gate()
    return lambda: put_back(path, whole)


def remove_model(site: Site, gate: OpenGate) -> Mend:
    path = model_file(site)
    whole = path.read_bytes()
    path.unlink()
    gate()
    return lambda: put_back(path, whole)


def put_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# --- the queue's database ---


def lock_database(site: Site, gate: OpenGate) -> Mend:
    with exclusive(site.layout.state / "queue.sqlite"):
        gate()
        time.sleep(15)
    return nothing


@contextlib.contextmanager
def exclusive(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


# --- destinations ---


def workstation_down(site: Site, gate: OpenGate) -> Mend:
    """Down for the first tries."""
    site.pair.workstation.kill()
    gate()
    wait_for(lambda: tries(site) >= 2, 60, "two tries in vain")
    site.pair.workstation.start(60 * PATIENCE)
    return nothing


def workstation_gone(site: Site, gate: OpenGate) -> Mend:
    """Down for all tries."""
    site.pair.workstation.kill()
    gate()
    return lambda: site.pair.workstation.start(60 * PATIENCE) and None  # type: ignore[func-returns-value]


def behind(behaviour: str, times: int) -> Callable[[Site, OpenGate], Mend]:
    """Put a destination that misbehaves so many times between the node and the workstation."""

    def strike(site: Site, gate: OpenGate) -> Mend:
        destination = Destination(behaviour, times, site.pair.workstation.configuration)
        destination.start()
        site.send_to(destination.port)
        gate()

        def mend() -> None:
            site.send_to(site.pair.workstation.configuration.dicom_port)
            destination.stop()
            destination.check()

        return mend

    return strike
