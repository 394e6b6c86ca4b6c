"""How the adapter of `models/adapters` was made, step by step; nothing here runs while calls are scored.

Authored texts (`texts/`: lines that begin with ``坐：``, ``客：`` or ``句：``, none from a dialogue or
call that anything is measured on) are spoken by the synthesiser of the sample calls in ever other voices,
sent down a telephone line and heard by Whisper's encoder as a scored call is. The decoder learns to write
them: a low-rank adapter (LoRA) over its matrices, with a pull back to what the decoder said before. The
encoder stays as it is.

    SYNTH/bin/python data_samples/speak_texts.py 0 1 tracks    # in the environment of data_samples/README.md
    python -m models.adapting.heard 0 1 tracks windows  # in zhijian's own; about 0.3 GB an hour of speech
    python -m models.adapting.train windows adapter.pt  # needs the extra `adapt`
    python -m models.adapting.pack adapter.pt models/adapters/whisper-base-calls.safetensors

The first two take ``SHARD SHARDS``, for as many processes, and do what is not done yet. ``recipe.toml``
holds the numbers.
"""
