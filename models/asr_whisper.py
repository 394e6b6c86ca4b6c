"""Speech to text with any Whisper model in CTranslate2 form, through faster-whisper.

Conventions
-----------
Audio is float32 mono at 16 kHz. Speech is packed into 30 s windows (`models.windows`); several windows are
decoded as one batch, every window with the same prompt. A window whose text looks wrong is decoded again,
first its pieces one by one, then with growing penalties on repetition. Sampling at a temperature, the
usual remedy, is not used: CTranslate2 seeds its generator once per thread, so the same recording could
give another text tomorrow and no receipt would hold.

The encoder takes most of the time, so its output is kept for the last recordings: a second decode of
the same spans with another prompt costs only the decoder.

Table of contents: `WhisperOptions`, `WhisperRecognizer`.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adapter import Adapter, write_adapted
from models.phrase_scores import relative_logprobs
from models.text_scores import character_logprobs
from models.whisper_words import merged_marks, trimmed
from models.windows import Piece, Window, gather, pack, quietest, uncovered
from pipeline.errors import ConfigError, ModelMissingError
from pipeline.ports import (
    SAMPLE_RATE_HZ,
    HeardSegment,
    HeardWord,
    PhraseQuery,
    PhraseScore,
    Samples,
    TextQuery,
)
from pipeline.records import ModelId

_FRAMES_PER_S = 100  # mel frames
_WINDOW_FRAMES = 3000
_ENCODED_PER_S = 50
_EDGE_S = 0.3
_KEPT = 4  # two channels, and what had to be heard again in each


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """How to decode; everything here can change the text and so belongs to a receipt.

    Attributes
    ----------
    beam_size, draft_beam_size : int
        Beams of the transcript and of drafts. On 24 spoken dialogues three beams err as often as five
        (13.9 and 13.8 % of characters) at three quarters of the decoder's time.
    longest_s : float
        Longest window, at most 30.
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

    beam_size: int = 3
    draft_beam_size: int = 2
    longest_s: float = 29.0
    max_compression_ratio: float = 2.4
    min_avg_logprob: float = -1.0
    max_no_speech_prob: float = 0.6
    prompt_tokens: int = 180
    tokens_per_s: float = 14.0
    air_s: float = 6.0
    hole_s: float = 1.2
    empty_s: float = 0.5
    retries: tuple[tuple[float, int], ...] = ((1.1, 6), (1.3, 4))


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Tokens of one window with the decoder's own doubts."""

    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    windows: tuple[Window, ...]
    encoded: Any


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
        Laid over the decoder's weights. Drafts are decoded without it: it was made with what people mean to
        say, and a draft is asked for what they did not.

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
        for file in ("model.bin", "config.json", "tokenizer.json"):
            if not (folder / file).is_file():
                raise ModelMissingError(f"{folder} holds no {file}; expected a Whisper model for CTranslate2")
        how = {"device": device, "compute_type": compute_type, "cpu_threads": cpu_threads}
        self._plain = _loaded(folder, how)
        self._whisper = self._plain if adapter is None else _loaded(folder, how, adapter)
        multilingual = self._whisper.model.is_multilingual
        self._tokenizer = Tokenizer(
            self._whisper.hf_tokenizer,
            multilingual,
            task="transcribe",
            language="zh" if multilingual else "en",
        )
        self._model = model
        self._batch_size = batch_size or (16 if device == "cuda" else 8)
        self._options = options or WhisperOptions()
        self._kept: OrderedDict[tuple[Any, ...], tuple[Samples, list[_Batch]]] = OrderedDict()
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
        self._kept.clear()

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
            spans_s, _word_times(segments), hole_s=self._options.hole_s, empty_s=self._options.empty_s
        )
        if holes:
            again = self._decode(samples, holes, start)
            segments += [late for late in (_inside(one, holes) for one in again) if late is not None]
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
            encoded=lambda start_s, end_s: self._heard(samples, start_s, end_s),
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
        for batch in self._encode(samples, spans_s):
            decoded = self._generate(batch, start, draft=draft)
            believed = [one if self._credible(one) else replace(one, tokens=[]) for one in decoded]
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

    def _encode(self, samples: Samples, spans_s: Sequence[tuple[float, float]]) -> list[_Batch]:
        key = (samples.__array_interface__["data"][0], samples.shape, tuple(spans_s))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1]
        duration_s = len(samples) / SAMPLE_RATE_HZ
        longest_s = self._options.longest_s
        windows = pack(spans_s, duration_s, longest_s=longest_s, quietest=quietest(samples), even=True)
        size = self._batch_size
        batches = [
            self._encode_windows(samples, windows[at : at + size]) for at in range(0, len(windows), size)
        ]
        # The samples are kept with them so that their address cannot be given to another recording.
        self._kept[key] = (samples, batches)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return batches

    def _heard(self, samples: Samples, start_s: float, end_s: float) -> tuple[Any, int] | None:
        """What the encoder made of a stretch inside a window that is kept, as (1, frames, width)."""
        own = [batches for kept, batches in self._kept.values() if kept is samples]
        for batch in (batch for batches in reversed(own) for batch in batches):
            for row, window in enumerate(batch.windows):
                stretch = window.stretch(start_s, end_s, edge_s=_EDGE_S)
                if stretch is not None:
                    first, last = int(stretch[0] * _ENCODED_PER_S), round(stretch[1] * _ENCODED_PER_S) + 1
                    cut = np.ascontiguousarray(_on_cpu(batch.encoded)[row : row + 1, first:last])
                    return cut, cut.shape[1] * _FRAMES_PER_S // _ENCODED_PER_S
        return None

    def _encode_windows(self, samples: Samples, windows: Sequence[Window]) -> _Batch:
        longest_s = max(window.duration_s for window in windows) + self._options.air_s
        frames = min(_WINDOW_FRAMES, int(longest_s * _FRAMES_PER_S) // 2 * 2)
        features = np.stack([self._features(gather(samples, window), frames) for window in windows])
        return _Batch(tuple(windows), self._encoded(features))

    def _encoded(self, features: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
        """Encode windows, on a CPU one after the other: the same numbers, but attention stays in the caches.

        Between them, eight windows of 29 s would write and read 600 MB of attention a layer.
        """
        if self._whisper.model.device == "cuda":
            return self._whisper.encode(features)
        import ctranslate2

        each = [np.array(self._whisper.encode(one[None])) for one in features]
        return ctranslate2.StorageView.from_array(np.concatenate(each))

    def encoded(self, samples: Samples, window: Window) -> NDArray[np.float32]:
        """Give what the encoder makes of one window, shape (frames, width); to train with."""
        one: NDArray[np.float32] = _on_cpu(self._encode_windows(samples, [window]).encoded)[0].astype(
            np.float32
        )
        return one

    def _features(self, samples: Samples, frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        features = self._whisper.feature_extractor(samples)[:, :frames]
        padded = np.zeros((features.shape[0], frames), np.float32)
        padded[:, : features.shape[1]] = features
        return padded

    def _generate(
        self,
        batch: _Batch,
        start: list[int],
        *,
        draft: bool = False,
        penalty: float = 1.0,
        ngram: int = 0,
        attempt: int = 0,
    ) -> list[_Decoded]:
        longest_s = max(window.duration_s for window in batch.windows)
        room = int(24 + self._options.tokens_per_s * longest_s)
        results = self._decoder(draft).model.generate(
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
                _Decoded(
                    tokens,
                    avg_logprob=total / (len(tokens) + 1),
                    no_speech_prob=result.no_speech_prob,
                    compression_ratio=_compression_ratio(self._tokenizer.decode(tokens)),
                    attempt=attempt,
                )
            )
        return decoded

    def _credible(self, decoded: _Decoded) -> bool:
        options = self._options
        if decoded.compression_ratio > options.max_compression_ratio:
            return False
        if decoded.avg_logprob >= options.min_avg_logprob:
            return True
        return decoded.no_speech_prob > options.max_no_speech_prob  # silence: nothing to try again

    def _again(
        self, samples: Samples, window: Window, first: _Decoded, start: list[int], *, draft: bool
    ) -> list[HeardSegment]:
        """Decode a window that was not believed: its pieces alone, then with penalties; keep the best."""
        segments = []
        alone = len(window.pieces) == 1
        for piece in window.pieces:
            batch = self._encode_windows(samples, [Window((Piece(piece.start_s, piece.end_s),))])
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

    def _decoder(self, draft: bool) -> Any:
        """Drafts are decoded by the weights as they are; both share what the encoder made of the sound."""
        return self._plain if draft else self._whisper

    def _segments(
        self, batch: _Batch, decoded: Sequence[_Decoded], *, draft: bool = False
    ) -> list[HeardSegment]:
        """Give every character its time by alignment, and cut the windows back into pieces."""
        tokens = [[token for token in one.tokens if token < self._tokenizer.eot] for one in decoded]
        frames = [
            max(1, min(_WINDOW_FRAMES, round(window.duration_s * _FRAMES_PER_S))) for window in batch.windows
        ]
        alignments = self._decoder(draft).find_alignment(self._tokenizer, tokens, batch.encoded, frames)
        segments = []
        for window, one, aligned in zip(batch.windows, decoded, alignments, strict=True):
            rows: dict[int, list[HeardWord]] = {}
            for word in merged_marks(trimmed(aligned)):
                index, start_s, end_s = window.place(word.start_s, word.end_s)
                rows.setdefault(index, []).append(HeardWord(word.text, start_s, end_s, word.probability))
            for index, words in sorted(rows.items()):
                segments.append(_segment(window.pieces[index], words, one))
        return segments


def _loaded(folder: Path, how: dict[str, Any], adapter: Adapter | None = None) -> Any:
    """Load the weights, as they are or with an adapter over them.

    Changed weights lie in a folder of their own while they are loaded: given as bytes, CTranslate2 would
    keep them for as long as it lives.
    """
    from faster_whisper import WhisperModel

    try:
        if adapter is None:
            return WhisperModel(str(folder), local_files_only=True, **how)
        with TemporaryDirectory(prefix="zhijian-weights-") as changed:
            for file in folder.iterdir():
                if file.name != "model.bin":
                    (Path(changed) / file.name).symlink_to(file.resolve())
            write_adapted(folder / "model.bin", Path(changed) / "model.bin", adapter)
            return WhisperModel(changed, local_files_only=True, **how)
    except OSError as error:
        raise ModelMissingError(
            f"the Whisper model in {folder} cannot be read, or its adapted weights not be written to "
            f"{gettempdir()}: {error.strerror or error}; check rights and space (TMPDIR sets another folder)"
        ) from error
    except ValueError as error:
        device, number = how["device"], how["compute_type"]
        raise ConfigError(f"device '{device}' with compute type '{number}': {error}") from error
    except RuntimeError as error:
        raise ModelMissingError(f"the Whisper model in {folder} cannot be loaded: {error}") from error


def _on_cpu(encoded: Any) -> np.ndarray[Any, Any]:
    import ctranslate2

    if encoded.device == "cuda":
        encoded = encoded.to_device(ctranslate2.Device.cpu)
    return np.asarray(encoded)


def _segment(piece: Piece, words: Sequence[HeardWord], decoded: _Decoded) -> HeardSegment:
    text = "".join(word.text for word in words)
    logprob = float(np.mean([np.log(max(word.probability, 1e-6)) for word in words]))
    return HeardSegment(
        start_s=round(piece.start_s, 3),
        end_s=round(piece.end_s, 3),
        text=text,
        words=tuple(words),
        avg_logprob=min(0.0, logprob),
        no_speech_prob=decoded.no_speech_prob,
        compression_ratio=_compression_ratio(text),
        attempt=decoded.attempt,
    )


def _word_times(segments: Sequence[HeardSegment]) -> list[tuple[float, float]]:
    return [(word.start_s, word.end_s) for segment in segments for word in segment.words]


def _inside(segment: HeardSegment, holes: Sequence[tuple[float, float]]) -> HeardSegment | None:
    """Keep of a late segment what stands in a hole; at its edges neighbours are heard a second time."""
    words = tuple(
        word
        for word in segment.words
        if any(start <= (word.start_s + word.end_s) / 2 <= end for start, end in holes)
    )
    if not words:
        return None
    return replace(segment, words=words, text="".join(word.text for word in words), attempt=1)


def _compression_ratio(text: str) -> float:
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0
