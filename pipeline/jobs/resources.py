"""What a worker and its children share: settings and the archive."""

from functools import cache

from pipeline.archive.client import HttpArchive
from pipeline.database.engine import database_of
from pipeline.database.folders import SharedFolders
from pipeline.settings import Settings, load_settings


@cache
def settings() -> Settings:
    """Return this process's settings, read once."""
    return load_settings()


@cache
def archive() -> HttpArchive:
    """Return this process's connection to Orthanc."""
    return HttpArchive(settings())


def folders() -> SharedFolders:
    """Return the folders of the hosts that share the database."""
    return SharedFolders.of(settings(), lambda: database_of(settings()))
