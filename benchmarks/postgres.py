"""A PostgreSQL of a benchmark's own: started for it on a loopback port, in a folder of its own, ended with it."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pipeline.node import LOOPBACK, free_port

_ACCOUNT = "postgres"
_PATIENCE_SECONDS = 60


def _program(name: str) -> Path:
    """Return PostgreSQL's program, which Debian keeps off the path; of several versions, the newest."""
    found = shutil.which(name)
    if found:
        return Path(found)
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name)
    )
    if not installed:
        raise FileNotFoundError(f"{name}: install Debian's package postgresql")
    return installed[-1]


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL while the context lasts.

    Parameters
    ----------
    folder
        Where a folder for the database is made; it must be reachable for the account ``postgres`` where this
        process is root, since PostgreSQL refuses to run as root.

    Yields
    ------
    str
        URL of an empty database, with user and password.
    """
    account = pwd.getpwnam(_ACCOUNT) if os.geteuid() == 0 else None
    identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    data, password, port = folder / "postgres", secrets.token_hex(16), free_port()
    data.mkdir(mode=0o700)
    secret = data.with_suffix(".password")
    secret.write_text(password)
    if account:
        for path in (data, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
    subprocess.run(
        [_program("initdb"), "-D", data, "-U", "glioloop", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"],
        check=True, capture_output=True, cwd="/", **identity,
    )  # fmt: skip
    secret.unlink()
    options = ["-c", f"port={port}", "-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="]
    with data.with_suffix(".log").open("wb") as log:
        server = subprocess.Popen(
            # It ends with this process, however that ends.
            ["setpriv", "--pdeathsig", "INT", _program("postgres"), "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd="/",
            **identity,
        )
    try:
        url = f"postgresql://glioloop:{password}@{LOOPBACK}:{port}"
        _create_database(f"{url}/postgres", server)
        yield f"{url}/glioloop"
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: clients are cut off
        server.wait(_PATIENCE_SECONDS)


def _create_database(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE glioloop")
                return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
