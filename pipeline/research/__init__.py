"""What research takes from the node: runs over its whole archive, tables of them, and cases without names and faces."""
