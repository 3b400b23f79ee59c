"""One case from its images to its objects: the stages, and the working files between them. No server, no queue."""
