"""The audit trail: what the node did and who asked, append-only and tamper-evident."""

from pipeline.audit.trail import AuditTrail, Entry, Fault

__all__ = ["AuditTrail", "Entry", "Fault"]
