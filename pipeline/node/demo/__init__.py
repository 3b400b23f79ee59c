"""The whole loop on one machine: a study in by C-STORE, its structure set out at a workstation."""
