"""Adapters to the neural models, and the registry that says where their weights come from.

Only this package imports ctranslate2, faster_whisper, torch or pyannote, and it does so inside
functions, so that ``import models`` costs nothing.
"""
