"""Encrypted recordings: envelopes, keys, and where recordings lie.

Nothing in this package writes plain audio anywhere; decryption happens in memory.

Table of contents: `pipeline.vault.envelope` (encrypt, decrypt), `pipeline.vault.keys` (key pairs,
identities, recipients), `pipeline.vault.recordings` (listing, reading, encrypting files),
`pipeline.vault.places` (local paths and fsspec URIs).
"""
