"""The node's REST routes: their table, their handlers, and how they answer."""
