"""Learning from corrections: warm start, replay against forgetting, and a guard before anything is put to use.

``runs`` imports no torch, since the plugin uses it inside Orthanc.
"""
