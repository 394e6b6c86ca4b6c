"""How well recordings are heard: ``python -m benchmarks.hearing`` (``make bench-hearing``).

One harness for all of hearing, so that a change can be judged by everything that it moves. Each call
yields *counts* (errors and what they are errors of); counts of a set are added up before anything is divided,
so that long calls weigh more than short ones. Medians are over calls.

Material
--------
``truth``      what is known of a call: its sound, who says what when
``generated``  calls made by ``data_samples/make_samples.py``, encrypted or plain
``human``      two-party telephone calls stitched from human recordings, where a folder of them is given

Measures
--------
``words``      character and toneless-pinyin error, mandated phrases, speech rate
``voices``     diarization error, roles, speech activity by channel, interruptions, silence
``echo``       turns of calls whose words are not known
``sounds``     fillers, speech-to-noise ratio

Running
-------
``measuring``  hears a call with timed ports and takes every measure of it
``goals``      what is wanted of them
``figures``    counts to figures, figures to JSON and a Markdown table
``__main__``   the command
"""
