"""People are told: what happened, in words, by webhook and e-mail."""
