"""Records become verdicts: phrases by sound, rules as data, a score. Pure; no models, no numpy."""
