"""How well a network delineates: cases, scores, reports, pictures."""
