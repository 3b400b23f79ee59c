"""Learning from corrections: warm start, replay against forgetting, and a guard before anything is put to use.

``schedule`` imports no torch: it is asked before there is anything to learn.
"""
