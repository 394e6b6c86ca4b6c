"""CAM++ speaker embeddings: one vector of 192 numbers says whose voice it is.

The network is written from its paper; the weights are a plain state dict that is loaded
without running anything it contains.

Conventions
-----------
Audio is float32 mono at 16 kHz in [-1, 1], shape ``(n,)``. Embeddings have unit length, so
that their dot product is the cosine.

Table of contents: `filterbank`, `CamPlusPlus`, `SpeakerEmbedder`.

References
----------
.. [1] Wang, Zheng, Chen, Cheng, Chen 2023, "CAM++: A Fast and Efficient Network for Speaker
   Verification Using Context-Aware Masking", Interspeech.
.. [2] Povey et al. 2011, "The Kaldi Speech Recognition Toolkit" (the filter bank).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ModelMissingError
from pipeline.ports import SAMPLE_RATE_HZ, Samples
from pipeline.records import ModelId

WEIGHTS_FILE = "campplus_cn_en_common.pt"
FRAME_HOP_S = 0.01
_FRAME, _HOP, _FFT, _MELS = 400, 160, 512, 80
_BLOCK = 4096
# Stretches are cut to a multiple of so many frames.
_EVEN = 10
# Parts of a stretch: 0.4 s every 0.1 s, in frames of the trunk (20 ms).
_PART, _PART_STEP = 20, 5


@functools.cache
def _povey_window() -> Tensor:
    return torch.hann_window(_FRAME, periodic=False, dtype=torch.float32).pow(0.85)


@functools.cache
def _mel_weights() -> Tensor:
    """Triangles equally wide on Kaldi's mel scale from 20 Hz to 8 kHz, shape (80, 257)."""

    def mel(hz: float) -> float:
        return 1127.0 * math.log(1.0 + hz / 700.0)

    edges = torch.linspace(mel(20.0), mel(SAMPLE_RATE_HZ / 2), _MELS + 2, dtype=torch.float64)
    bins = torch.tensor([mel(k * SAMPLE_RATE_HZ / _FFT) for k in range(_FFT // 2 + 1)], dtype=torch.float64)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.clamp(torch.minimum(rising, falling), min=0.0).float()


def filterbank(samples: Samples) -> Tensor:
    """Log mel energies as Kaldi computes them, without dither and without mean removal.

    Parameters
    ----------
    samples : ndarray, shape (n,)

    Returns
    -------
    Tensor, shape (frames, 80)
        One row every 10 ms; no rows when ``n`` is under 25 ms.
    """
    sound = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    if len(sound) < _FRAME:
        return torch.zeros(0, _MELS)
    # In blocks, since what is computed on the way is 25 times as large as what comes out.
    frames = sound.unfold(0, _FRAME, _HOP)
    return torch.cat([_log_mel(frames[at : at + _BLOCK]) for at in range(0, len(frames), _BLOCK)])


def _log_mel(frames: Tensor) -> Tensor:
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - 0.97 * before) * _povey_window()
    power = torch.fft.rfft(frames, n=_FFT).abs().square()
    return torch.log(torch.clamp(power @ _mel_weights().T, min=torch.finfo(torch.float32).eps))


class _BatchNormRelu(nn.Module):
    """Normalisation and rectifier; the state dict calls the first ``batchnorm``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.batchnorm(x))


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions over frequency and time with a shortcut; stride in frequency only."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class _FrontEnd(nn.Module):
    """The convolution module that lets voices shift a little in frequency: (b, 80, t) → (b, 320, t)."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_ResidualBlock(channels, 2), _ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(_ResidualBlock(channels, 2), _ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        y = functional.relu(self.bn2(self.conv2(self.layer2(self.layer1(y)))))
        return y.flatten(1, 2)


class _TimeDelay(nn.Module):
    """The first time-delay layer; it halves the frame rate."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _BatchNormRelu(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nonlinear(self.linear(x))
        return out


class _ContextMask(nn.Module):
    """A convolution masked by what the whole utterance and each 2 s of it sound like."""

    segment = 100

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(inputs, inputs // 2, 1)
        self.linear2 = nn.Conv1d(inputs // 2, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = x.mean(dim=-1, keepdim=True)
        parts = functional.avg_pool1d(x, self.segment, self.segment, ceil_mode=True)
        spread = parts.repeat_interleave(self.segment, dim=-1)[..., : x.shape[-1]]
        mask = torch.sigmoid(self.linear2(functional.relu(self.linear1(whole + spread))))
        out: Tensor = self.linear_local(x) * mask
        return out


class _DenseLayer(nn.Module):
    """One layer of a densely connected block: its output is added to the channels it came from."""

    def __init__(self, inputs: int, growth: int, dilation: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.nonlinear1 = _BatchNormRelu(inputs)
        self.linear1 = nn.Conv1d(inputs, inner, 1, bias=False)
        self.nonlinear2 = _BatchNormRelu(inner)
        self.cam_layer = _ContextMask(inner, growth, dilation)

    def forward(self, x: Tensor) -> Tensor:
        new = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return torch.cat([x, new], dim=1)


class _DenseBlock(nn.Sequential):
    """Densely connected layers, numbered ``tdnnd1``, ``tdnnd2`` and so on."""

    def __init__(self, layers: int, inputs: int, growth: int, dilation: int) -> None:
        super().__init__()
        for index in range(layers):
            self.add_module(f"tdnnd{index + 1}", _DenseLayer(inputs + index * growth, growth, dilation))


class _Transit(nn.Module):
    """Halves the channels between blocks."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nonlinear = _BatchNormRelu(inputs)
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.nonlinear(x))
        return out


class _Dense(nn.Module):
    """The last projection, normalised without scale."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.nonlinear = nn.ModuleDict({"batchnorm": nn.BatchNorm1d(outputs, affine=False)})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nonlinear["batchnorm"](self.linear(x.unsqueeze(-1)).squeeze(-1))
        return out


class CamPlusPlus(nn.Module):
    """The network: features (batch, frames, 80) → embeddings (batch, 192)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _FrontEnd()
        growth, channels = 32, 128
        parts: list[tuple[str, nn.Module]] = [("tdnn", _TimeDelay(320, channels))]
        for number, (layers, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), start=1):
            parts.append((f"block{number}", _DenseBlock(layers, channels, growth, dilation)))
            channels += layers * growth
            parts.append((f"transit{number}", _Transit(channels, channels // 2)))
            channels //= 2
        parts.append(("out_nonlinear", _BatchNormRelu(channels)))
        self.xvector = nn.Module()
        for name, part in parts:
            self.xvector.add_module(name, part)
        self._order = [name for name, _ in parts]
        self.xvector.add_module("dense", _Dense(2 * channels, 192))

    def forward(self, features: Tensor) -> Tensor:
        """Embed a batch of equally long, mean-normalised features."""
        return self.pooled(self.trunk(features))

    def trunk(self, features: Tensor) -> Tensor:
        """What is heard of a voice in each 20 ms: (batch, frames, 80) → (batch, 512, frames / 2)."""
        x: Tensor = self.head(features.transpose(1, 2))
        for name in self._order:
            x = self.xvector.get_submodule(name)(x)
        return x

    def pooled(self, heard: Tensor) -> Tensor:
        """Embed stretches of what `trunk` heard: (stretches, 512, frames) → (stretches, 192)."""
        return self._embedding(heard.mean(dim=-1), heard.std(dim=-1, unbiased=True))

    def pooled_parts(self, heard: Tensor) -> Tensor:
        """Embed parts of 0.4 s every 0.1 s: (stretches, 512, frames) → (stretches, parts, 192)."""
        tenths = functional.avg_pool1d(torch.cat([heard, heard.square()], dim=1), _PART_STEP, _PART_STEP)
        means, squares = functional.avg_pool1d(tenths, _PART // _PART_STEP, 1).chunk(2, dim=1)
        variances = (squares - means.square()) * (_PART / (_PART - 1))
        flat = [x.transpose(1, 2).flatten(0, 1) for x in (means, variances.clamp(min=0.0).sqrt())]
        embedded = self._embedding(*flat)
        return embedded.reshape(len(heard), -1, embedded.shape[-1])

    def _embedding(self, mean: Tensor, deviation: Tensor) -> Tensor:
        out: Tensor = self.xvector.get_submodule("dense")(torch.cat([mean, deviation], dim=-1))
        return out


def _trimmed(span: tuple[int, int]) -> tuple[int, int]:
    """A stretch without its edges, so that many have one length: batches halve the cost."""
    start, end = span
    over = (end - start) % _EVEN if end - start > _EVEN else 0
    return start + over // 2, end - (over - over // 2)


class SpeakerEmbedder:
    """Voice embeddings of stretches of one recording.

    Parameters
    ----------
    folder : Path
        Holds ``campplus_cn_en_common.pt``.
    device : str
        Where torch computes.

    Raises
    ------
    ModelMissingError
        If the weights are absent or do not fit the network.
    """

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        path = folder / WEIGHTS_FILE
        if not path.is_file():
            raise ModelMissingError(f"{path}: not found; run `zhijian models fetch`")
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._network = CamPlusPlus()
        try:
            self._network.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise ModelMissingError(f"{path}: these weights do not fit CAM++; fetch them again") from error
        self._network.eval().to(device)
        self._device = device
        self.model = ModelId(
            "campplus-zh-en", "speaker_embedding", hashlib.sha256(path.read_bytes()).hexdigest()
        )

    def embed(self, features: Tensor, spans: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Embed stretches of a feature matrix; see `embed_with_parts`."""
        return self.embed_with_parts(features, spans)[0]

    @torch.inference_mode()
    def embed_with_parts(
        self, features: Tensor, spans: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Embed stretches of a feature matrix, and parts of each by what was heard of the whole.

        Parameters
        ----------
        features : Tensor, shape (frames, 80)
            From `filterbank`.
        spans : sequence of (start, end)
            In frames; each at least 20 frames (0.2 s) long.

        Returns
        -------
        whole : ndarray, shape (len(spans), 192)
            Rows of unit length.
        parts : list of ndarray, shape (parts, 192)
            Of each 0.4 s, every 0.1 s, evenly about the middle of the stretch; none of a shorter one. They
            cost next to nothing, since the network runs once.
        """
        out = np.zeros((len(spans), 192), dtype=np.float32)
        parts = [np.zeros((0, 192), dtype=np.float32) for _ in spans]
        spans = [_trimmed(span) for span in spans]
        by_length: dict[int, list[int]] = {}
        for index, (start, end) in enumerate(spans):
            by_length.setdefault(end - start, []).append(index)
        for indices in by_length.values():
            for at in range(0, len(indices), 16):
                some = indices[at : at + 16]
                batch = torch.stack([features[spans[i][0] : spans[i][1]] for i in some])
                batch = batch - batch.mean(dim=1, keepdim=True)
                heard = self._network.trunk(batch.to(self._device))
                out[some] = functional.normalize(self._network.pooled(heard).float().cpu(), dim=-1).numpy()
                if heard.shape[-1] < _PART:
                    continue
                vectors = functional.normalize(self._network.pooled_parts(heard).float().cpu(), dim=-1)
                for index, own in zip(some, vectors.numpy(), strict=True):
                    parts[index] = own
        return out, parts
