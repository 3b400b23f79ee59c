"""Corrections that come back: recognised, compared with what the network had drawn, and kept.

``verdicts``, ``store``, ``pseudonyms`` and ``review`` import the standard library and pydantic
only, since the plugin uses them inside Orthanc; the others need SimpleITK.
"""
