"""Train the adapter: ``python -m models.adapting.train WINDOWS OUT`` (extra ``adapt``).

Reads what `models.adapting.heard` wrote and ``recipe.toml``; writes the factors of every adapted matrix
with `torch.save`, after each epoch anew. A fiftieth of the windows is not trained with; the loss there is
printed.

Table of contents: `Recipe`, `load_recipe`, `Example`, `examples`, `Prompts`, `whisper_tokens`,
`trained`, `made_of`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.adapting.decoder import whisper
from models.adapting.heard import MODEL

HERE = Path(__file__).parent
_UNCOUNTED = -100
_POSITIONS, _MARKS = 448, 6  # of Whisper's decoder; marks before a text
_SORTED_TOGETHER = 16
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华玉萍红建国志海燕雪琳倩浩宇轩晨曦"
_FIRMS = "云杉远航安泰同舟金陵北辰长风众和汇川岳麓东篱南屏瑞丰恒信明德嘉禾百川和顺中润"
_TRADES = ("保险", "人寿", "财险", "保险公司", "养老", "健康")


@dataclass(frozen=True, slots=True)
class Recipe:
    """``recipe.toml``; see there."""

    targets: str
    rank: int
    dropout: float
    epochs: int
    batch: int
    learning_rate: float
    warmup_steps: int
    pull: float
    seed: int
    no_prompt: float
    terms_alone: float


def load_recipe(path: Path = HERE / "recipe.toml") -> Recipe:
    """Read the recipe.

    Examples
    --------
    >>> load_recipe().rank > 0
    True
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    prompts = table["prompts"]
    return Recipe(
        **table["lora"], **table["training"], no_prompt=prompts["none"], terms_alone=prompts["terms"]
    )


@dataclass(frozen=True, slots=True)
class Example:
    """One window: where its encoded sound lies, what was said, how long it is."""

    sound: Path
    text: str
    duration_s: float


def examples(folder: Path) -> list[Example]:
    """All windows of a folder, in the order of their names."""
    return [
        Example(folder / f"{row['key']}.npy", row["text"], row["duration_s"])
        for listed in sorted(folder.glob("*.windows"))
        for row in json.loads(listed.read_text(encoding="utf-8"))
    ]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What stands before a window's text: nothing, the terms of hearing, or names and the terms."""

    terms: str
    recipe: Recipe

    def drawn(self, rng: np.random.Generator) -> str | None:
        """Give one by chance."""
        chance = rng.random()
        if chance < self.recipe.no_prompt:
            return None
        if chance < self.recipe.no_prompt + self.recipe.terms_alone:
            return self.terms
        given = rng.choice(list(_GIVEN), size=rng.choice((1, 2, 2)))
        name = rng.choice(list(_SURNAMES)) + "".join(given)
        firm = 2 * int(rng.integers(len(_FIRMS) // 2))
        return f"{_FIRMS[firm : firm + 2]}{rng.choice(_TRADES)} {name} {self.terms}"


Tokens = Callable[[str | None, str], tuple[list[int], list[int]]]


def whisper_tokens(tokenizer_file: Path, *, prompt_tokens: int) -> Tokens:
    """How a text and what comes before it are written in tokens, as `models.asr_whisper` asks for them."""
    from faster_whisper.tokenizer import Tokenizer
    from tokenizers import Tokenizer as Vocabulary

    tokenizer = Tokenizer(Vocabulary.from_file(str(tokenizer_file)), True, task="transcribe", language="zh")

    def tokens(prompt: str | None, text: str) -> tuple[list[int], list[int]]:
        before = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt)[:prompt_tokens]] if prompt else []
        start = [*before, *tokenizer.sot_sequence, tokenizer.no_timestamps]
        return start, [*tokenizer.encode(text), tokenizer.eot]

    return tokens


def _batch(
    rows: Sequence[Example], rng: np.random.Generator, tokens: Tokens, prompts: Prompts
) -> tuple[Any, Any, Any]:
    """Inputs and wanted tokens, shape (rows, tokens), and sounds, shape (rows, frames, width)."""
    import torch

    written = [tokens(prompts.drawn(rng), row.text) for row in rows]
    longest = max(len(start) + len(text) for start, text in written) - 1
    inputs = torch.zeros((len(rows), longest), dtype=torch.long)
    wanted = torch.full((len(rows), longest), _UNCOUNTED)
    for number, (start, text) in enumerate(written):
        both = torch.tensor(start + text)
        inputs[number, : len(both) - 1] = both[:-1]
        wanted[number, len(start) - 1 : len(both) - 1] = both[len(start) :]
    sounds = [np.load(row.sound) for row in rows]
    frames = max(len(sound) for sound in sounds)
    # A window ends in silence: more of its last frame changes nothing.
    even = [np.concatenate([s, np.repeat(s[-1:], frames - len(s), axis=0)]) for s in sounds]
    return inputs, wanted, torch.from_numpy(np.stack(even)).float()


def _batches(
    rows: Sequence[Example], size: int, rng: np.random.Generator, tokens: Tokens, prompts: Prompts
) -> Iterator[tuple[Any, Any, Any]]:
    """All rows in a new order, those of one batch about equally long."""
    order = [rows[number] for number in rng.permutation(len(rows))]
    for at in range(0, len(order), size * _SORTED_TOGETHER):
        near = sorted(order[at : at + size * _SORTED_TOGETHER], key=lambda row: row.duration_s)
        groups = [near[start : start + size] for start in range(0, len(near), size)]
        for group in rng.permutation(len(groups)):
            yield _batch(groups[group], rng, tokens, prompts)


def _said(model: Any, batch: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """Logits of the tokens that count, and those tokens."""
    inputs, wanted, sounds = batch
    hidden = model.model.decoder(
        input_ids=inputs, encoder_hidden_states=sounds, use_cache=False
    ).last_hidden_state
    counted = wanted != _UNCOUNTED
    return model.proj_out(hidden[counted]).float(), wanted[counted]


def trained(
    model: Any,
    rows: Sequence[Example],
    *,
    recipe: Recipe,
    tokens: Tokens,
    prompts: Prompts,
    keep: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train an adapter over a model.

    Parameters
    ----------
    model : transformers.WhisperForConditionalGeneration
    rows : sequence of Example
    recipe : Recipe
    tokens : callable
        (prompt or None, text) -> tokens before the text, tokens of the text.
    prompts : Prompts
    keep : callable
        Receives the factors after every epoch.
    say : callable
        Receives lines of progress.

    Returns
    -------
    dict of str to torch.Tensor
        ``MODULE.a`` (rank, in) and ``MODULE.b`` (out, rank); their product is what is added.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn import functional

    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    order = [rows[number] for number in rng.permutation(len(rows))]
    held = max(1, len(order) // 50)
    apart, order = order[:held], order[held:]
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 for an attribute of its older name
        warnings.simplefilter("ignore", FutureWarning)
        adapter = get_peft_model(
            model,
            LoraConfig(
                r=recipe.rank,
                lora_alpha=recipe.rank,
                lora_dropout=recipe.dropout,
                target_modules=".*" + recipe.targets,
            ),
        )
    inner = adapter.base_model.model
    weights = [weight for weight in adapter.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.01)
    steps = recipe.epochs * -(-len(order) // recipe.batch)
    begun, step = time.monotonic(), 0

    def autocast() -> Any:
        return torch.autocast("cpu", torch.bfloat16)

    for epoch in range(recipe.epochs):
        adapter.train()
        for batch in _batches(order, recipe.batch, rng, tokens, prompts):
            share = min(1.0, (step + 1) / recipe.warmup_steps) * max(0.05, 1 - step / steps)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * share
            with autocast():
                logits, wanted = _said(inner, batch)
                loss = functional.cross_entropy(logits, wanted)
                if recipe.pull and step % 2:
                    with torch.no_grad(), adapter.disable_adapter():
                        before, _ = _said(inner, batch)
                    loss = loss + 2 * recipe.pull * functional.kl_div(
                        logits.log_softmax(-1), before.log_softmax(-1), reduction="batchmean", log_target=True
                    )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            step += 1
            if step % 50 == 0:
                say(f"{step}/{steps} loss {loss.item():.3f}, {time.monotonic() - begun:.0f} s")
        adapter.eval()
        with torch.no_grad(), autocast():
            total = count = 0.0
            for at in range(0, len(apart), recipe.batch):
                logits, wanted = _said(
                    inner, _batch(apart[at : at + recipe.batch], np.random.default_rng(at), tokens, prompts)
                )
                total += functional.cross_entropy(logits, wanted, reduction="sum").item()
                count += len(wanted)
        say(f"epoch {epoch + 1}: {total / count:.4f} a token on {len(apart)} windows apart")
        keep(_factors(adapter))
    return _factors(adapter)


def _factors(adapter: Any) -> dict[str, Any]:
    found = {}
    for name, value in adapter.state_dict().items():
        for lora, part in ((".lora_A", "a"), (".lora_B", "b")):
            if lora in name:
                module = name.partition(lora)[0].removeprefix("base_model.model.")
                found[f"{module}.{part}"] = value.detach().float().clone()
    return found


def made_of(rows: Sequence[Example], model_file: Path) -> dict[str, str]:
    """Sums of the weights, the recipe and the windows (names and texts) that an adapter is made of."""
    heard = hashlib.sha256()
    for row in rows:
        heard.update(f"{row.sound.name} {row.text}\n".encode())
    return {
        "base_sha256": hashlib.sha256(model_file.read_bytes()).hexdigest(),
        "recipe_sha256": hashlib.sha256((HERE / "recipe.toml").read_bytes()).hexdigest(),
        "windows_sha256": heard.hexdigest(),
    }


def main(windows: Path, out: Path) -> None:
    """Train with all windows of a folder."""
    import torch

    from models.asr_whisper import WhisperOptions
    from models.fetch import installed
    from pipeline.hearing.lexicon import load_lexicon
    from pipeline.settings import load_settings

    settings, _ = load_settings({})
    file = installed(MODEL, settings.model_dir) / "model.bin"
    recipe, prompt_tokens = load_recipe(), WhisperOptions().prompt_tokens
    tokens = whisper_tokens(file.with_name("tokenizer.json"), prompt_tokens=prompt_tokens)
    room = _POSITIONS - prompt_tokens - _MARKS
    every = examples(windows)
    rows = [row for row in every if len(tokens(None, row.text)[1]) <= room]
    about = made_of(rows, file)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    hours = sum(row.duration_s for row in rows) / 3600
    say(f"{len(rows)} of {len(every)} windows are short enough: {hours:.1f} h")
    trained(
        whisper(file),
        rows,
        recipe=recipe,
        tokens=tokens,
        prompts=Prompts(load_lexicon(settings.rulebook).hotwords or "", recipe),
        keep=lambda factors: torch.save({"factors": factors, "about": about}, out),
        say=say,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
