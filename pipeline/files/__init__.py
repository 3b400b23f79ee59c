"""Files of the node's state: written to the disk, logs of jobs, the installation's name."""
