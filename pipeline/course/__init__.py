"""A patient over time: earlier studies, lesions that keep their identity, and what has changed."""
