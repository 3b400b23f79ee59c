"""Training networks on rendered and real studies; torch lives here."""
