"""Synthetic MR studies of heads with and without tumours, rendered from label maps."""
