"""Orthanc over HTTP: studies and their files, results into the archive and on to the workstation."""
