"""Processes that compute for a worker, one for each job: a kill is the deadline, and their memory ends with them."""
