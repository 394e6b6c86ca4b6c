"""Synthesis of test calls: scripts in, telephone audio with exact truth out.

Needs the environment of `data_samples/README.md`, except `synth.script` and `synth.truth`,
which use the standard library only.
"""
