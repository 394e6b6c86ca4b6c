"""What Whisper's encoder makes of stretches of speech, kept for the last recordings.

Conventions
-----------
Windows are those of `models.windows`, at most 30 s. The encoder takes most of the time of hearing, so its
output is kept: a second decode of the same spans costs only the decoder.

Table of contents: `EncodedWindows`, `Encoder`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.windows import Window, gather, pack, quietest
from pipeline.ports import SAMPLE_RATE_HZ, Samples

_FRAMES_PER_S = 100  # mel frames
_WINDOW_FRAMES = 3000
_ENCODED_PER_S = 50
_EDGE_S = 0.3
_KEPT = 4  # two channels, and what had to be heard again in each


@dataclass(frozen=True, slots=True)
class EncodedWindows:
    """Windows that are decoded together, and what the encoder made of them.

    Attributes
    ----------
    windows : tuple of Window
    encoded : ctranslate2.StorageView, shape (windows, frames, width)
    """

    windows: tuple[Window, ...]
    encoded: Any

    @property
    def frames(self) -> list[int]:
        """Mel frames of every window that hold sound."""
        return [
            max(1, min(_WINDOW_FRAMES, round(window.duration_s * _FRAMES_PER_S))) for window in self.windows
        ]

    def rows(self, rows: Sequence[int]) -> EncodedWindows:
        """Give some of the windows, on the device where they are."""
        if list(rows) == list(range(len(self.windows))):
            return self
        import ctranslate2

        some = ctranslate2.StorageView.from_array(np.ascontiguousarray(self.array()[list(rows)]))
        if self.encoded.device == "cuda":
            some = some.to_device(ctranslate2.Device.cuda)
        return EncodedWindows(tuple(self.windows[row] for row in rows), some)

    def array(self) -> NDArray[Any]:
        """Give ``encoded`` in the memory of the CPU."""
        import ctranslate2

        encoded = self.encoded
        if encoded.device == "cuda":
            encoded = encoded.to_device(ctranslate2.Device.cpu)
        return np.asarray(encoded)


class Encoder:
    """Cuts speech into windows and encodes them.

    Parameters
    ----------
    whisper : faster_whisper.WhisperModel
    longest_s : float
        Longest window.
    air_s : float
        Silence after a window.
    batch_size : int
        Windows in one `EncodedWindows`.
    """

    def __init__(self, whisper: Any, *, longest_s: float, air_s: float, batch_size: int) -> None:
        self._whisper = whisper
        self._longest_s, self._air_s, self._batch_size = longest_s, air_s, batch_size
        self._kept: OrderedDict[tuple[Any, ...], tuple[Samples, list[EncodedWindows]]] = OrderedDict()

    def forget(self) -> None:
        """Drop what is kept of the last recordings."""
        self._kept.clear()

    def speech(
        self, samples: Samples, spans_s: Sequence[tuple[float, float]], *, keep: bool = True
    ) -> Iterable[EncodedWindows]:
        """Encode the speech inside ``spans_s`` (start, end in seconds).

        Parameters
        ----------
        keep : bool, keyword-only
            False: encoded when asked for and not kept unless it was already. An hour of speech is 0.4 GB.
        """
        key = (samples.__array_interface__["data"][0], samples.shape, tuple(spans_s))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1]
        duration_s = len(samples) / SAMPLE_RATE_HZ
        windows = pack(spans_s, duration_s, longest_s=self._longest_s, quietest=quietest(samples), even=True)
        size = self._batch_size
        each = (self.windows(samples, windows[at : at + size]) for at in range(0, len(windows), size))
        if not keep:
            return each
        batches = list(each)
        # The samples are kept with them so that their address cannot be given to another recording.
        self._kept[key] = (samples, batches)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return batches

    def windows(self, samples: Samples, windows: Sequence[Window]) -> EncodedWindows:
        """Encode windows that were cut already; nothing is kept."""
        longest_s = max(window.duration_s for window in windows) + self._air_s
        frames = min(_WINDOW_FRAMES, int(longest_s * _FRAMES_PER_S) // 2 * 2)
        features = np.stack([self._features(gather(samples, window), frames) for window in windows])
        return EncodedWindows(tuple(windows), self._encoded(features))

    def heard(self, samples: Samples, start_s: float, end_s: float) -> tuple[NDArray[Any], int] | None:
        """Look up what was made of a stretch inside a window that is kept.

        Returns
        -------
        (ndarray of shape (1, frames, width), int) or None
            With the number of mel frames; None if no kept window holds the stretch.
        """
        own = [batches for kept, batches in self._kept.values() if kept is samples]
        for batch in (batch for batches in reversed(own) for batch in batches):
            for row, window in enumerate(batch.windows):
                stretch = window.stretch(start_s, end_s, edge_s=_EDGE_S)
                if stretch is not None:
                    first, last = int(stretch[0] * _ENCODED_PER_S), round(stretch[1] * _ENCODED_PER_S) + 1
                    cut = np.ascontiguousarray(batch.array()[row : row + 1, first:last])
                    return cut, cut.shape[1] * _FRAMES_PER_S // _ENCODED_PER_S
        return None

    def _encoded(self, features: NDArray[np.float32]) -> Any:
        """Encode windows, on a CPU one after the other: the same numbers, but attention stays in the caches.

        Between them, eight windows of 29 s would write and read 600 MB of attention a layer.
        """
        if self._whisper.model.device == "cuda":
            return self._whisper.encode(features)
        import ctranslate2

        each = [np.array(self._whisper.encode(one[None])) for one in features]
        return ctranslate2.StorageView.from_array(np.concatenate(each))

    def _features(self, samples: Samples, frames: int) -> NDArray[np.float32]:
        features = self._whisper.feature_extractor(samples)[:, :frames]
        padded = np.zeros((features.shape[0], frames), np.float32)
        padded[:, : features.shape[1]] = features
        return padded
