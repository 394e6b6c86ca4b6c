"""Speech to text with any Whisper model in CTranslate2 form, through faster-whisper.

Conventions
-----------
Audio is float32 mono at 16 kHz. Speech is packed into 30 s windows (`models.windows`); several windows are
decoded as one batch, every window with the same prompt. A window whose text looks wrong is decoded again,
first its pieces one by one, then with growing penalties on repetition. Sampling at a temperature, the
usual remedy, is not used: CTranslate2 seeds its generator once per thread, so the same recording could
give another text tomorrow and no receipt would hold.

An adapter may come in several strengths. The first reads every window; where it doubts, the next one reads
the same encoded sound, and that reading is kept which both find likelier (`models.readings`): the stronger
one knows telephone calls better, the weaker one is right where a voice is unlike those it learnt from.

Table of contents: `WhisperOptions`, `WhisperRecognizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adapter import Adapter
from models.encoding import EncodedWindows, Encoder
from models.phrase_scores import relative_logprobs
from models.readings import Reading, compression_ratio, opinions, preferred
from models.text_scores import character_logprobs
from models.whisper_weights import load_weights
from models.whisper_words import heard_segment, inside, merged_marks, trimmed, word_times
from models.windows import Piece, Window, uncovered
from pipeline.ports import (
    HeardSegment,
    HeardWord,
    PhraseQuery,
    PhraseScore,
    Samples,
    TextQuery,
)
from pipeline.records import ModelId


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """How to decode; everything here can change the text and so belongs to a receipt.

    Attributes
    ----------
    beam_size, draft_beam_size : int
        Beams of the transcript and of drafts. Two err on development calls nearly as rarely as three (7.5
        and 7.4 % of characters) at nine tenths of all CPU time; more than three never helped.
    longest_s : float
        Longest window, at most 30.
    doubt_logprob : float
        A reading less likely than this for a token is compared with another strength's. On development calls
        that is every fourth window, of people's talk nearly every one.
    max_compression_ratio, min_avg_logprob, max_no_speech_prob : float
        Beyond these a window's text is not believed (Whisper's own thresholds).
    prompt_tokens : int
        Most tokens a prompt and hotwords may take together.
    tokens_per_s : float
        Upper bound of tokens that speech can hold; ends loops early.
    air_s : float
        Silence that the encoder is given after a window. It is made for 30 s; giving it less than that but
        this much costs less, and what the decoder looks at is smaller. Too little costs accuracy: 13.8 %
        instead of 13.3 at 3 s.
    hole_s, empty_s : float
        Speech without any text for so long inside a stretch, or a whole stretch of at least ``empty_s``
        without any, is decoded again by itself: in long windows the decoder skips sentences.
    retries : tuple of (repetition penalty, n-gram that may not repeat)
        Tried in order on what is still not believed.
    """

    beam_size: int = 2
    draft_beam_size: int = 2
    longest_s: float = 29.0
    max_compression_ratio: float = 2.4
    doubt_logprob: float = -0.25
    min_avg_logprob: float = -1.0
    max_no_speech_prob: float = 0.6
    prompt_tokens: int = 180
    tokens_per_s: float = 14.0
    air_s: float = 6.0
    hole_s: float = 1.2
    empty_s: float = 0.5
    retries: tuple[tuple[float, int], ...] = ((1.1, 6), (1.3, 4))


class WhisperRecognizer:
    """A `pipeline.ports.Recognizer` over one Whisper model.

    Parameters
    ----------
    folder : Path
        CTranslate2 files of any Whisper (see `models.fetch.installed`).
    model : ModelId
        What to call these weights in results.
    device : {"auto", "cpu", "cuda"}
    compute_type : str
        ``auto`` is int8 on a CPU and float16 on a GPU.
    cpu_threads : int
        1 suits one worker process per core.
    batch_size : int or None
        Windows decoded together; None is 8 on a CPU and 16 on a GPU.
    options : WhisperOptions
    adapter : Adapter, optional
        Laid over the decoder's weights. Of several strengths the first one reads every window; where it
        doubts another reads, too, and that reading is kept which both find likelier. The last one answers
        questions about phrases and texts. Drafts are decoded without an adapter: it was made with what
        people mean to say, and a draft is asked for what they did not.

    Raises
    ------
    ModelMissingError
        The folder holds no usable Whisper model.
    ConfigError
        The device or compute type does not exist on this machine.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelId,
        *,
        device: str = "auto",
        compute_type: str = "auto",
        cpu_threads: int = 1,
        batch_size: int | None = None,
        options: WhisperOptions | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        import ctranslate2
        from faster_whisper.tokenizer import Tokenizer

        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
        if compute_type in ("auto", "default"):
            compute_type = "float16" if device == "cuda" else "int8"
        how = {"device": device, "compute_type": compute_type, "cpu_threads": cpu_threads}
        weights = load_weights(folder, how, adapter)
        self._plain = weights.plain
        self._readers = weights.adapted
        self._whisper = self._readers[-1]
        multilingual = self._whisper.model.is_multilingual
        self._tokenizer = Tokenizer(
            self._whisper.hf_tokenizer,
            multilingual,
            task="transcribe",
            language="zh" if multilingual else "en",
        )
        self._model = model
        self._options = options or WhisperOptions()
        self._encoder = Encoder(
            self._whisper,
            longest_s=self._options.longest_s,
            air_s=self._options.air_s,
            batch_size=batch_size or (16 if device == "cuda" else 8),
        )
        self._suppressed = self._suppressed_tokens()

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        return self._model

    @property
    def options(self) -> WhisperOptions:
        """How they are asked."""
        return self._options

    def forget(self) -> None:
        """Drop what is kept of the last recordings."""
        self._encoder.forget()

    def transcribe(
        self,
        samples: Samples,
        *,
        spans_s: Sequence[tuple[float, float]],
        prompt: str | None = None,
        hotwords: str | None = None,
        draft: bool = False,
    ) -> list[HeardSegment]:
        """Recognise the speech inside ``spans_s``.

        Parameters
        ----------
        samples : ndarray of float32, shape (n,)
            16 kHz mono.
        spans_s : sequence of (start, end)
            Where somebody speaks, in seconds.
        prompt, hotwords : str, optional
            Text that every window is told to have come before.
        draft : bool
            Decode with fewer beams, and no second time what was missed.

        Returns
        -------
        list of HeardSegment
            One for each continuous stretch of speech, in order of time; words are single characters with
            the punctuation that follows them.
        """
        start = self._prompt(prompt, hotwords)
        if draft:
            return self._decode(samples, spans_s, start, draft=True)
        segments = self._decode(samples, spans_s, start)
        holes = uncovered(
            spans_s, word_times(segments), hole_s=self._options.hole_s, empty_s=self._options.empty_s
        )
        if holes:
            again = self._decode(samples, holes, start)
            segments += [late for late in (inside(one, holes) for one in again) if late is not None]
        return sorted(segments, key=lambda segment: (segment.start_s, segment.end_s))

    def phrase_scores(
        self, samples: Samples, queries: Sequence[PhraseQuery]
    ) -> list[tuple[PhraseScore, ...]]:
        """Ask the audio about phrases; see `models.phrase_scores`."""
        return relative_logprobs(self._whisper, self._tokenizer, samples, queries)

    def text_scores(
        self, samples: Samples, queries: Sequence[TextQuery]
    ) -> list[tuple[tuple[float, ...], ...]]:
        """Ask the audio about texts; see `models.text_scores`."""
        return character_logprobs(
            self._whisper,
            self._tokenizer,
            samples,
            queries,
            encoded=lambda start_s, end_s: self._encoder.heard(samples, start_s, end_s),
        )

    def _decode(
        self,
        samples: Samples,
        spans_s: Sequence[tuple[float, float]],
        start: list[int],
        *,
        draft: bool = False,
    ) -> list[HeardSegment]:
        segments: list[HeardSegment] = []
        for batch in self._encoder.speech(samples, spans_s, keep=not draft):
            decoded = self._generate(batch, start, draft=draft)
            for rival in () if draft else range(1, len(self._readers)):
                decoded = self._read_again(batch, decoded, start, rival)
            believed = [one if self._credible(one) else replace(one, tokens=()) for one in decoded]
            segments += self._segments(batch, believed, draft=draft)
            for window, one, kept in zip(batch.windows, decoded, believed, strict=True):
                if kept is not one:
                    segments += self._again(samples, window, one, start, draft=draft)
        return segments

    def _prompt(self, prompt: str | None, hotwords: str | None) -> list[int]:
        """Tokens before the text: hotwords, then the prompt, cut so that the window keeps its room."""
        tokenizer = self._tokenizer
        said: list[int] = tokenizer.encode(" " + prompt.strip()) if prompt else []
        said = said[-self._options.prompt_tokens :]
        room = self._options.prompt_tokens - len(said)
        if hotwords and room > 0:
            said = tokenizer.encode(" " + hotwords.strip())[:room] + said
        before = [tokenizer.sot_prev, *said] if said else []
        return [*before, *tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _suppressed_tokens(self) -> list[int]:
        from faster_whisper.transcribe import get_suppressed_tokens

        return list(get_suppressed_tokens(self._tokenizer, [-1]))

    def encoded(self, samples: Samples, window: Window) -> NDArray[np.float32]:
        """Give what the encoder makes of one window, shape (frames, width); to train with."""
        one: NDArray[np.float32] = self._encoder.windows(samples, [window]).array()[0].astype(np.float32)
        return one

    def _generate(
        self,
        batch: EncodedWindows,
        start: list[int],
        *,
        draft: bool = False,
        reader: int = 0,
        penalty: float = 1.0,
        ngram: int = 0,
        attempt: int = 0,
    ) -> list[Reading]:
        longest_s = max(window.duration_s for window in batch.windows)
        room = int(24 + self._options.tokens_per_s * longest_s)
        results = self._decoder(draft, reader).model.generate(
            batch.encoded,
            [start] * len(batch.windows),
            beam_size=self._options.draft_beam_size if draft and not attempt else self._options.beam_size,
            max_length=min(self._whisper.max_length, len(start) + room),
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            repetition_penalty=penalty,
            no_repeat_ngram_size=ngram,
            return_scores=True,
            return_no_speech_prob=True,
        )
        decoded = []
        for result in results:
            tokens = list(result.sequences_ids[0])
            total = result.scores[0] * len(tokens)
            decoded.append(
                Reading(
                    tuple(tokens),
                    avg_logprob=total / (len(tokens) + 1),
                    no_speech_prob=result.no_speech_prob,
                    compression_ratio=compression_ratio(self._tokenizer.decode(tokens)),
                    attempt=attempt,
                    reader=reader,
                )
            )
        return decoded

    def _read_again(
        self, batch: EncodedWindows, decoded: Sequence[Reading], start: list[int], rival: int
    ) -> list[Reading]:
        """Let a rival read the windows that are doubted, and keep the likelier reading of each."""
        kept = list(decoded)
        doubted = [
            row
            for row, one in enumerate(decoded)
            if one.avg_logprob < self._options.doubt_logprob or not self._credible(one)
        ]
        if not doubted:
            return kept
        some = batch.rows(doubted)
        others = self._generate(some, start, reader=rival)
        likelier = self._likelier(some, [decoded[row] for row in doubted], others)
        for row, one in zip(doubted, likelier, strict=True):
            kept[row] = one
        return kept

    def _likelier(
        self, batch: EncodedWindows, own: Sequence[Reading], other: Sequence[Reading]
    ) -> list[Reading]:
        """Choose between the readings of every window that were best so far and those of a rival."""
        texts = [[self._said(one) for one in readings] for readings in (own, other)]
        if texts[0] == texts[1]:
            return list(own)
        start = self._tokenizer.sot_sequence
        judges = (self._readers[0], self._readers[other[0].reader])
        asked = [[opinions(judge, start, batch.encoded, text) for judge in judges] for text in texts]
        mine, others = (list(zip(*each, strict=True)) for each in asked)
        return [
            two if self._credible(two) and (preferred(before, after) or not self._credible(one)) else one
            for one, two, before, after in zip(own, other, mine, others, strict=True)
        ]

    def _said(self, reading: Reading) -> list[int]:
        return [token for token in reading.tokens if token < self._tokenizer.eot]

    def _credible(self, decoded: Reading) -> bool:
        options = self._options
        if decoded.compression_ratio > options.max_compression_ratio:
            return False
        if decoded.avg_logprob >= options.min_avg_logprob:
            return True
        return decoded.no_speech_prob > options.max_no_speech_prob  # silence: nothing to try again

    def _again(
        self, samples: Samples, window: Window, first: Reading, start: list[int], *, draft: bool
    ) -> list[HeardSegment]:
        """Decode a window that was not believed: its pieces alone, then with penalties; keep the best."""
        segments = []
        alone = len(window.pieces) == 1
        for piece in window.pieces:
            batch = self._encoder.windows(samples, [Window((Piece(piece.start_s, piece.end_s),))])
            tried = [first] if alone else self._generate(batch, start, draft=draft, attempt=1)
            for number, (penalty, ngram) in enumerate(self._options.retries, start=2):
                if self._credible(tried[-1]):
                    break
                tried += self._generate(
                    batch, start, draft=draft, penalty=penalty, ngram=ngram, attempt=number
                )
            limit = self._options.max_compression_ratio
            best = max(tried, key=lambda one: (one.compression_ratio <= limit, one.avg_logprob))
            segments += self._segments(batch, [best], draft=draft)
        return segments

    def _decoder(self, draft: bool, reader: int = 0) -> Any:
        """Drafts are decoded by the weights as they are; all share what the encoder made of the sound."""
        return self._plain if draft else self._readers[reader]

    def _segments(
        self, batch: EncodedWindows, decoded: Sequence[Reading], *, draft: bool = False
    ) -> list[HeardSegment]:
        """Give every character its time by alignment, and cut the windows back into pieces."""
        alignments: list[Any] = [None] * len(decoded)
        for reader in sorted({one.reader for one in decoded}):
            tokens = [self._said(one) if one.reader == reader else [] for one in decoded]
            aligned = self._decoder(draft, reader).find_alignment(
                self._tokenizer, tokens, batch.encoded, batch.frames
            )
            for row, one in enumerate(decoded):
                if one.reader == reader:
                    alignments[row] = aligned[row]
        segments = []
        for window, one, aligned in zip(batch.windows, decoded, alignments, strict=True):
            rows: dict[int, list[HeardWord]] = {}
            for word in merged_marks(trimmed(aligned)):
                index, start_s, end_s = window.place(word.start_s, word.end_s)
                rows.setdefault(index, []).append(HeardWord(word.text, start_s, end_s, word.probability))
            for index, words in sorted(rows.items()):
                segments.append(heard_segment(window.pieces[index], words, one))
        return segments
