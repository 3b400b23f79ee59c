"""The process that runs the durable workflows; ``python -m pipeline.worker``."""
