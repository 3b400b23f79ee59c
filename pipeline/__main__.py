"""``python -m pipeline``: the command line."""

from pipeline.cli.application import main

main()
