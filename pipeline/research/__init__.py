"""What research takes from the node: runs over its whole archive, and tables of them."""
