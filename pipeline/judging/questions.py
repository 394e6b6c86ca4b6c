"""Where in a call the audio itself should be asked whether a phrase was said.

Goal
----
Sound alone cannot settle everything: a recogniser that writes 后四位 for 后六位 leaves a near miss, one that
loses three syllables leaves nothing that looks like the phrase. While the recording is still at hand, its
own model can be asked how well a phrase fits at a place. This module finds the places, from words alone; the
answers are kept with the hearing (`pipeline.records.PhraseEvidence`), so that judging needs no model.

Asked are, for every phrase set of the rulebook:

- hits that are not sure, near misses included: was it really this phrase?
- for the standard's own sentences, which are due somewhere: the places that sound most like them in turns
  where they were not surely heard, and those that sound nearly like one of the wordings that say the same
  (`pipeline.judging.nearly`), as far as the recogniser doubted its words there;
- for the agent's number: 工号 with something after it that is no number, if the call record knows the number.

Conventions
-----------
Positions are characters of the transcript's stream, times seconds of the recording. The same turns and
lexicon give the same questions.

Table of contents: `questions`, `questions_about`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product, zip_longest

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from pipeline.judging.case import Case
from pipeline.judging.lexicon import Lexicon, PhraseSet
from pipeline.judging.matching import BREAK, Alignment
from pipeline.judging.nearly import Near, heads_of_number, near_places
from pipeline.judging.phonetics import Sounds
from pipeline.judging.phrases import Pattern, sighted
from pipeline.judging.soundindex import Found
from pipeline.judging.wordings import Wording
from pipeline.records import ROLES, CallRecord, Hearing, PhraseQuestion, Role, Turn

# A stretch to listen to: a whole turn, or of a long one so much before and after the place.
_WHOLE_TURN_S = 8.0
_BEFORE_S, _AFTER_S, _AIR_S = 4.0, 1.0, 0.2
# Spellings asked at one place.
_SPELLINGS = 3
# Stretches that overlap, each asked about on its own: 登进下来 and 我把您的诉求登进下来.
_READINGS = 3
# Shortest sentence, in characters that carry meaning, that is looked for where nothing was found.
_LEAST_CHARS = 4
# Share of the doubt asked of the least alike that even the most alike must show.
_LEAST_DOUBT = 0.3
# From this likeness a sentence is asked about though the recogniser was sure of its words.
_VERY_ALIKE = 0.8
# Most characters of a hit by sound that are written anew, and ways to do so that are tried.
_RESPELLED, _TRIES = 4, 64


@dataclass(frozen=True, slots=True)
class _Place:
    """A stretch of the stream and what may have been said there; the more alike the better.

    Of a guess only spellings are asked that sound like what was heard.
    """

    start: int
    end: int
    alike: float
    spellings: tuple[str, ...]
    is_guess: bool = False


def questions(turns: Sequence[Turn], call: CallRecord, lexicon: Lexicon) -> tuple[PhraseQuestion, ...]:
    """All questions about one call.

    Parameters
    ----------
    turns : sequence of Turn
        As heard, sorted by ``start_s``.
    call : CallRecord
    lexicon : Lexicon
        Of the rulebook by which the call will be judged.

    Returns
    -------
    tuple of PhraseQuestion
        Sorted by time, then by phrase.
    """
    return questions_about(turns, call, lexicon, lexicon.phrases)


def questions_about(
    turns: Sequence[Turn], call: CallRecord, lexicon: Lexicon, names: Iterable[str]
) -> tuple[PhraseQuestion, ...]:
    """Questions about some phrase sets only, for phrases that are new to a rulebook."""
    end_s = max((turn.end_s for turn in turns), default=0.0)
    case = Case(Hearing("", end_s, "mono", tuple(turns)), call, lexicon)
    asked = [
        question
        for name in names
        for role in ROLES
        for place in _places(case, lexicon.phrases[name], role)
        for question in _question(case, name, place)
    ]
    return tuple(sorted(asked, key=lambda one: (one.from_s, one.start_s, one.phrase, one.spellings)))


def _places(case: Case, phrase: PhraseSet, role: Role) -> list[_Place]:
    """Places of one phrase set on one side of the line; not more than a few overlap."""
    model = case.lexicon.acoustic
    sure: list[tuple[int, int]] = []
    open_: list[_Place] = []
    for found, wording in _worded(case, phrase, role):
        if found.confidence >= model.ask_below:
            sure.append((found.start, found.end))
        elif found.confidence >= model.ask_above:
            heard = case.transcript.stream[found.start : found.end]
            open_.append(_Place(found.start, found.end, found.confidence, _respelled(case, wording, heard)))
    if phrase.say and role == "agent":
        for pattern in phrase.say:
            for aligned, spellings, confidence in _said(case, pattern, role):
                if confidence >= model.ask_below:
                    sure.append((aligned.start, aligned.end))
                else:
                    open_.append(_Place(aligned.start, aligned.end, confidence, spellings))
        if phrase.near == "unsure":
            open_.extend(_alike(case, phrase, role, sure))
    if phrase.say and phrase.near == "unsure" and role == "agent":
        open_.extend(_nearly(case, phrase, role, sure))
        open_.extend(_numbered(case, phrase, role, sure))
    return _settled(case, open_, sure)


def _worth_asking(case: Case, places: Iterable[_Place]) -> Iterator[_Place]:
    """Places as they are; of guesses only what sounds like what was heard."""
    call, least = case.transcript, case.lexicon.acoustic.ask_alike
    for place in places:
        heard = call.stream[place.start : place.end]
        if not place.is_guess:
            yield place
        elif said := tuple(
            text for text in place.spellings if _likeness(text, heard, call.model.sounds) >= least
        ):
            yield replace(place, spellings=said)


def _settled(case: Case, places: Iterable[_Place], sure: Sequence[tuple[int, int]]) -> list[_Place]:
    """The likeliest places that nothing sure overlaps, and few that overlap one another."""
    kept: list[_Place] = []
    for place in _gathered(_worth_asking(case, places)):
        if any(place.start < end and start < place.end for start, end in sure):
            continue
        rivals = [other for other in kept if place.start < other.end and other.start < place.end]
        asked = {text for other in rivals for text in other.spellings}
        spellings = tuple(text for text in place.spellings if text not in asked)
        if spellings and len(rivals) < _READINGS:
            kept.append(replace(place, spellings=spellings))
    return kept


def _gathered(places: Iterable[_Place]) -> list[_Place]:
    """The likeliest places first, one for each stretch with all that may have been said there."""
    by_stretch: dict[tuple[int, int], _Place] = {}
    for place in sorted(places, key=lambda one: (-one.alike, one.start, one.end, one.spellings)):
        if place.spellings:
            stretch = place.start, place.end
            known = by_stretch.get(stretch)
            if known is None:
                by_stretch[stretch] = place
            else:
                # One of each source in turn, so that no source crowds out the others.
                pairs = zip_longest(known.spellings, place.spellings)
                mixed = dict.fromkeys(text for pair in pairs for text in pair if text)
                by_stretch[stretch] = replace(known, spellings=tuple(mixed))
    return list(by_stretch.values())


def _worded(case: Case, phrase: PhraseSet, role: Role) -> Iterator[tuple[Found, Wording]]:
    index = case.sound_index
    for wording in phrase.like:
        for found in index.search(wording, index.of_role[role]):
            yield found, wording


def _respelled(case: Case, wording: Wording, heard: str) -> tuple[str, ...]:
    """What a wording reads where something of its sound was heard: 礼陪 becomes 理赔.

    As few characters as possible are changed; what stands in a gap stays as it was heard.
    """
    codes = case.sound_index.codes
    own: dict[str, list[str]] = {}
    for char in sorted(wording.chars):
        own.setdefault(codes[ord(char)], []).append(char)
    unlike = [at for at, char in enumerate(heard) if char not in own.get(codes[ord(char)], (char,))]
    for count in range(1, min(len(unlike), _RESPELLED) + 1):
        for places in combinations(unlike, count):
            ways = product(*(own[codes[ord(heard[at])]] for at in places))
            for chars in islice(ways, _TRIES):
                changed = dict(zip(places, chars, strict=True))
                text = "".join(changed.get(at, char) for at, char in enumerate(heard))
                if wording.reads(text):
                    return (text,)
    return ()


def _said(case: Case, pattern: Pattern, role: Role) -> Iterator[tuple[Alignment, tuple[str, ...], float]]:
    for aligned, seen in sighted(pattern, case.transcript, turns=case.turns_by_role[role]):
        yield aligned, _spelled(case, pattern, aligned), pattern.model.confidence.of(seen)


def _spelled(case: Case, pattern: Pattern, aligned: Alignment) -> tuple[str, ...]:
    """The ways to say a pattern that sound most like what was heard.

    None where a slot was filled: what was heard in it is the recogniser's guess at a name or a number, and
    asking for a guess tells nothing.
    """
    if aligned.filled:
        return ()
    sounds = pattern.model.sounds
    heard = case.transcript.stream[aligned.start : aligned.end]
    ways = {branch.runs[number].chars for branch in pattern.branches for number in branch.whole}

    def distance(way: str) -> float:
        return -_likeness(way, heard, sounds)

    return tuple(sorted(ways, key=lambda way: (distance(way), len(way), way))[:_SPELLINGS])


def _likeness(one: str, other: str, sounds: Sounds) -> float:
    """How much two texts sound alike by their coarse initials and finals, in [0, 1]."""
    first, second = (
        "".join(char for char in text if char.isalnum())
        .translate(sounds.coarse_table)
        .translate(sounds.halves_table)
        for text in (one, other)
    )
    return round(Indel.normalized_similarity(first, second), 4)


def _alike(case: Case, phrase: PhraseSet, role: Role, sure: Sequence[tuple[int, int]]) -> Iterator[_Place]:
    """Where it sounds most like one of the standard's sentences, in turns that do not surely hold it."""
    call = case.transcript
    limits = case.lexicon.acoustic
    held = {call.place(start)[0] for start, _ in sure}
    pieces = [piece for piece in _pieces(case, role) if piece[0] not in held]
    found: list[_Place] = []
    for text, halves in _sentences(phrase):
        for _, begin, heard in pieces:
            aligned = fuzz.partial_ratio_alignment(halves, heard, score_cutoff=100 * limits.ask_alike)
            if aligned is None or aligned.dest_end - aligned.dest_start < len(halves) // 2:
                continue
            first = begin + aligned.dest_start // 2
            last = begin + (aligned.dest_end - 1) // 2
            start, end = call.coarse_at[first], call.coarse_at[last] + 1
            if aligned.score >= 100 * _VERY_ALIKE or _doubt(case, start, end) >= limits.ask_doubt:
                found.append(_Place(start, end, aligned.score / 100, (text,)))
    found.sort(key=lambda one: (-one.alike, -len(one.spellings[0]), one.start, one.spellings))
    kept: list[_Place] = []
    for place in found:
        if all(place.end <= other.start or other.end <= place.start for other in kept):
            kept.append(place)
    # Unlike hits these are guesses: no surer than the least sure hit.
    for place in kept[: limits.ask_most]:
        yield replace(place, alike=place.alike - 1.0, is_guess=True)


def _nearly(case: Case, phrase: PhraseSet, role: Role, sure: Sequence[tuple[int, int]]) -> Iterator[_Place]:
    """Where one word of a wording may have been misheard, in turns that do not surely hold it."""
    call, index, limits = case.transcript, case.sound_index, case.lexicon.acoustic
    held = {call.place(start)[0] for start, _ in sure}
    within = {number for number in index.of_role[role] if call.place(index.begins[number])[0] not in held}

    def doubted(start: int, end: int) -> bool:
        return _doubt(case, start, end) >= _LEAST_DOUBT * limits.ask_doubt

    found = [
        near
        for wording in phrase.like
        for near in near_places(wording, index, within, alike=limits.ask_nearly, worth=doubted)
    ]
    # The less alike, the more the recogniser must have doubted its words.
    reach = max(1.0 - limits.ask_nearly, 1e-6)
    found = [
        near
        for near in found
        if _doubt(case, near.start, near.end) >= limits.ask_doubt * (1.0 - near.alike) / reach
    ]
    found.sort(key=lambda near: (-near.alike, -len(near.text), near.start, near.text))
    apart: list[Near] = []
    for near in found:
        if all(near.end <= other.start or other.end <= near.start for other in apart):
            apart.append(near)
    for near in found:
        if any(near.start < other.end and other.start < near.end for other in apart[: limits.ask_most]):
            yield _Place(near.start, near.end, near.alike - 1.0, (near.text,), is_guess=True)


def _doubt(case: Case, start: int, end: int) -> float:
    """How little the recogniser trusted the least sure word at a place of one turn, in [0, 1]."""
    call = case.transcript
    turn, first = call.place(start)
    return max(call.doubt(turn, at, at + 1) for at in range(first, first + end - start))


def _numbered(case: Case, phrase: PhraseSet, role: Role, sure: Sequence[tuple[int, int]]) -> Iterator[_Place]:
    """Where the agent's own number of the call record may have been said: 工号 and something after it.

    Unlike what was heard in a slot, which is a guess, the record's number is worth asking for.
    """
    own = case.call.agent_id or ""
    if not (phrase.own_number and own.isascii() and own.isdigit() and len(own) > 1):
        return
    index = case.sound_index
    spoken = "".join("零一二三四五六七八九"[int(digit)] for digit in own)
    for head in heads_of_number([wording.source for wording in phrase.like]):
        coded = head.translate(index.codes)
        for number in sorted(index.of_role[role]):
            at = index.coded[number].find(coded)
            if at < 0:
                continue
            start = index.begins[number] + at
            end = min(start + len(head) + len(spoken), index.begins[number] + len(index.coded[number]))
            if not any(start < other_end and begin < end for begin, other_end in sure):
                said = (head + spoken, head + spoken.replace("一", "幺"))
                yield _Place(start, end, -1.0, tuple(dict.fromkeys(said)))


def _sentences(phrase: PhraseSet) -> list[tuple[str, str]]:
    """Sentences worth looking for by likeness: none of a set that two or three syllables can say."""
    runs = [
        branch.runs[number]
        for pattern in phrase.say
        for branch in pattern.branches
        for number in sorted(branch.whole)
    ]
    if min((len(run.heavy) for run in runs), default=0) < _LEAST_CHARS:
        return []
    return [(run.chars, run.halves) for run in runs]


def _pieces(case: Case, role: Role) -> Iterator[tuple[int, int, str]]:
    """One side's turns as (turn, begin in the coarse sounds, coarse initials and finals in turn)."""
    call = case.transcript
    stop = call.model.sounds.coarse(BREAK)[0]
    own = set(case.turns_by_role[role])
    begin, turn = 0, -1
    for at, place in enumerate((*call.coarse_at, len(call.stream))):
        here = call.place(place)[0] if place < len(call.stream) else -1
        is_stop = at < len(call.coarse) and call.coarse[at] == stop
        if here != turn or is_stop:
            if turn in own and at > begin:
                yield turn, begin, call.halves[2 * begin : 2 * at]
            begin, turn = at + is_stop, -1 if is_stop else here
    return


def _question(case: Case, name: str, place: _Place) -> Iterator[PhraseQuestion]:
    """Turn a place into a question; none where it runs over into another turn."""
    call = case.transcript
    turn, start = call.place(place.start)
    end_turn, last = call.place(place.end - 1)
    if turn != end_turn or BREAK in call.stream[place.start : place.end]:
        return
    start_s, end_s = call.begin_s(turn, start), call.end_s(turn, last)
    spoken = case.turns[turn]
    begin, from_s, to_s = 0, spoken.start_s - _AIR_S, spoken.end_s + _AIR_S
    if spoken.duration_s > _WHOLE_TURN_S:
        begin = _begin(case, turn, start)
        from_s = call.begin_s(turn, begin) - (_AIR_S / 2 if begin else _AIR_S)
        to_s = min(to_s, end_s + _AFTER_S)
    heard = call.spoken(turn, start, last + 1)
    spellings = tuple(dict.fromkeys(place.spellings))[:_SPELLINGS]
    yield PhraseQuestion(
        phrase=name,
        role=spoken.role,
        turn=turn,
        from_s=round(max(0.0, from_s), 3),
        to_s=round(to_s, 3),
        start_s=start_s,
        end_s=end_s,
        prefix=call.spoken(turn, begin, start) if start > begin else "",
        heard=heard,
        spellings=spellings,
        alike=tuple(_likeness(said, heard, call.model.sounds) for said in spellings),
    )


def _begin(case: Case, turn: int, start: int) -> int:
    """Where to begin listening in a long turn: at a sentence if one begins near enough."""
    call = case.transcript
    at_s = call.begin_s(turn, start)
    near = [place for place in range(start + 1) if at_s - call.begin_s(turn, place) <= _BEFORE_S]
    sentences = [place for place in near if call.sentence(turn, place)[0] == place]
    return (sentences or near or [start])[0]
