"""Files of the node: brought to the disk, logs of jobs and processes."""
