"""Which sentence answers a question: BM25 over a passage's sentences, in the light of the passage itself.

A sentence's score is a weighted sum: how much of the question's weight it holds (BM25 with the rarity of a
term among the passage's own sentences, scaled to the question), the same for whole words, whether it shows
what is asked for, what the sentence before it holds (a subject named there), and the BM25 of its passage
among all.

The weights were fitted (softmax over the sentences of a passage, gradient ascent) on the questions of every
second paragraph of KorQuAD 1.0 dev; benchmarks/extractive.py measures on the others as well as on all.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence

import msgspec

from holdfast.kernel.text.sentences import spans
from holdfast.kernel.text.words import terms, weight_of
from holdfast.rooms.llm.rules.extract.phrases import unquotable
from holdfast.rooms.llm.rules.extract.questions import Question

SATURATION = 1.2
LENGTH = 0.3
"""k1 and b of BM25 among sentences: sentences of one passage differ in length by what they tell."""
PASSAGE_SATURATION = 0.7
PASSAGE_LENGTH = 0.6
"""k1 and b among passages: best of a grid on KorQuAD's 964 paragraphs."""
SHORTLIST = 8
"""Passages whose sentences are compared: 99 % of KorQuAD's questions have theirs among the best 8 of 964."""

HELD, WHOLE, DATE, NUMBER, UNIT, PERSON, PLACE, BEFORE, PASSAGE = 5.2, 1.4, 3.0, 1.5, 4.2, 0.4, 0.4, 1.1, 16.0

PARTLY = 0.8
"""What all parts of a word are worth without the word itself."""
_BIAS, _THERE, _HERE, _SHOWN, _STRANGE = -7.5, 15.5, 11.4, 0.3, -5.0
"""Logistic regression on half of KorQuAD's paragraphs: questions with their own or a random paragraph. The
last was set by hand: at it 0.7 % more of the answerable questions are refused, and 3.5 % more of those asked
of another paragraph of the same article."""
SURE_ENOUGH = 0.8
"""Below it the answer is a refusal. On the other half: 3 % of the answerable questions are refused, 99 % of
those asked of a random paragraph, 85 % of those asked of another paragraph of the same article."""

STEP = 16
"""Sentences that are read between two chances for others to run: about 2 ms."""
MAX_TITLE = 300
BLOCK = 16
"""Sentences of one passage, at most: a longer source is several, or it would know every word there is."""


class Source(msgspec.Struct, frozen=True):
    """A text that may be quoted, or the part `start:end` of it; offsets always count from its beginning."""

    id: str
    text: str
    title: str = ""
    start: int = 0
    end: int | None = None
    talk: bool = False
    """Something said in the conversation: its questions and instructions are not quoted."""


class Found(msgspec.Struct, frozen=True):
    """A sentence, `sources[source].text[start:end]`; `sure` is the probability that its passage answers."""

    source: int
    start: int
    end: int
    score: float
    sure: float


class _Sentence:
    __slots__ = ("counts", "end", "length", "start")

    def __init__(self, start: int, end: int, found: list[str]) -> None:
        self.start = start
        self.end = end
        self.counts = Counter(found)
        self.length = len(found)


class _Passage:
    """A source, or a block of a long one. `counts` has the terms of the title too."""

    __slots__ = ("counts", "length", "sentences", "source")

    def __init__(self, source: int, title: list[str]) -> None:
        self.source = source
        self.sentences: list[_Sentence] = []
        self.counts = Counter(title)
        self.length = len(title)

    def add(self, sentence: _Sentence) -> None:
        self.sentences.append(sentence)
        self.counts.update(sentence.counts)
        self.length += sentence.length


class Corpus:
    """The sentences of some sources and where each term occurs. Fill it by exhausting `read`."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._passages: list[_Passage] = []
        self._postings: defaultdict[str, list[int]] = defaultdict(list)

    def read(self, source: Source) -> Iterator[None]:
        """Take a source in, pausing after every STEP sentences."""
        number = len(self.sources)
        self.sources.append(source)
        title = terms(source.title[:MAX_TITLE])
        passage = _Passage(number, title)
        part = source.text[source.start : source.end]
        for at, (start, stop) in enumerate(spans(part), 1):
            said = part[start:stop]
            if not (source.talk and unquotable(said)):
                if len(passage.sentences) == BLOCK:
                    self._take(passage)
                    passage = _Passage(number, title)
                passage.add(_Sentence(start + source.start, stop + source.start, terms(said)))
            if at % STEP == 0:
                yield
        self._take(passage)

    def _take(self, passage: _Passage) -> None:
        if passage.sentences:
            for term in passage.counts:
                self._postings[term].append(len(self._passages))
            self._passages.append(passage)

    def best(self, asked: Question, limit: int = 3) -> list[Found]:
        """The best sentences for a question, best first; ties go to what stands earlier."""
        found: list[Found] = []
        for passage, share in self._likely(asked):
            found.extend(self._within(passage, asked, share))
        found.sort(key=lambda one: -one.score)
        return found[:limit]

    def _likely(self, asked: Question) -> list[tuple[_Passage, float]]:
        """The best SHORTLIST passages, each with its BM25 as a share of the question's weight."""
        total = len(self._passages)
        mean = sum(passage.length for passage in self._passages) / max(total, 1) or 1.0
        scores: defaultdict[int, float] = defaultdict(float)
        whole = 0.0
        for term in asked.terms:
            places = self._postings.get(term)
            if not places:
                continue
            rarity = weight_of(term) * math.log(1 + (total - len(places) + 0.5) / (len(places) + 0.5))
            whole += rarity
            for place in places:
                passage = self._passages[place]
                count = passage.counts[term]
                damp = PASSAGE_SATURATION * (1 - PASSAGE_LENGTH + PASSAGE_LENGTH * passage.length / mean)
                scores[place] += rarity * count * (PASSAGE_SATURATION + 1) / (count + damp)
        ranked = sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:SHORTLIST]
        return [(self._passages[place], score / whole) for place, score in ranked]

    def _within(self, passage: _Passage, asked: Question, share: float) -> Iterator[Found]:
        """Every sentence of one passage, scored."""
        listed = passage.sentences
        text = self.sources[passage.source].text
        weights = _rarities(listed, asked.terms)
        total = sum(weights.values()) or 1.0
        mean = sum(one.length for one in listed) / len(listed) or 1.0
        there = covered(asked, passage.counts)
        strange = any(_known(word, passage.counts) < 1.0 for word in asked.named)
        among = PASSAGE * share if len(self._passages) > 1 else 0.0
        before = 0.0
        for one in listed:
            held, whole = _bm25(one, weights, mean)
            shown = asked.shows(text[one.start : one.end])
            score = among + (HELD * held + WHOLE * whole) / total + _dot(shown) + BEFORE * before
            before = held / total
            certainty = sure(there, covered(asked, one.counts), any(shown), strange)
            yield Found(passage.source, one.start, one.end, score, certainty)


def _rarities(listed: Sequence[_Sentence], wanted: Sequence[str]) -> dict[str, float]:
    """The weight of each wanted term that occurs: rarer among these sentences, more telling."""
    total = len(listed)
    found = {}
    for term in wanted:
        if among := sum(term in one.counts for one in listed):
            found[term] = weight_of(term) * math.log(1 + (total - among + 0.5) / (among + 0.5))
    return found


def _bm25(one: _Sentence, weights: dict[str, float], mean: float) -> tuple[float, float]:
    """(of all terms, plain weight of the whole words)."""
    damp = SATURATION * (1 - LENGTH + LENGTH * one.length / mean)
    held = whole = 0.0
    for term, weight in weights.items():
        if count := one.counts.get(term):
            held += weight * count * (SATURATION + 1) / (count + damp)
            if term[0] in "=#":
                whole += weight
    return held, whole


def _dot(shown: tuple[float, float, float, float, float]) -> float:
    date, number, unit, person, place = shown
    return DATE * date + NUMBER * number + UNIT * unit + PERSON * person + PLACE * place


def covered(asked: Question, known: Container[str]) -> float:
    """The share of the question's words that are known; a word of which parts are known counts in part."""
    if not asked.words:
        return 0.0
    return sum(_known(word, known) for word in asked.words) / len(asked.words)


def _known(word: tuple[str, ...], known: Container[str]) -> float:
    marked = word[-1][0] in "=#"
    if marked and word[-1] in known:
        return 1.0
    share = sum(term in known for term in word) / len(word)
    return PARTLY * share if marked else share


def sure(there: float, here: float, shown: bool, strange: bool) -> float:
    """The probability that a passage answers, from what share of the question it and the sentence know.

    `shown`: the sentence shows what is asked for; `strange`: a name or number of the question is not there.
    """
    return 1 / (1 + math.exp(-(_BIAS + _THERE * there + _HERE * here + _SHOWN * shown + _STRANGE * strange)))
