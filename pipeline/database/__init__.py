"""The node's own tables, beside DBOS's in the same database."""
