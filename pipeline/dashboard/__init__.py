"""Pictures and contours that the node's pages show, made from a case."""
