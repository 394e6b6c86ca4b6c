"""The nightly batch: what to hear, who hears it, and the proof that no call was lost."""
