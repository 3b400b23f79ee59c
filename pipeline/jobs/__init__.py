"""The durable queue: what is asked of the node, and how far it is."""
