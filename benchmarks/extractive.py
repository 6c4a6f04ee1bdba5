"""The built-in extractive model on KorQuAD 1.0 dev: does the best sentence hold the answer, is it sure?

A question counts as answered when a gold answer stands in the quoted text. `with the gold paragraph`
chooses among its sentences, `open` among those of all 964 paragraphs. The weights of scoring.py were fitted
on the even paragraphs; the rows `held out` are the odd ones alone. Refusals are judged on the odd ones too: a
question beside its own paragraph is answerable; beside a random one, or another one of the same article, it
counts as not answerable (a few of the latter are, by repetition).
"""

import json
import random
import time
from typing import Any, NamedTuple

from benchmarks.harness import Row, at_least, data_folder, main, percentile, shown
from holdfast.kernel.text.words import terms
from holdfast.rooms.llm.rules.extract.questions import question
from holdfast.rooms.llm.rules.extract.scoring import SURE_ENOUGH, Corpus, Found, Source


class Asked(NamedTuple):
    text: str
    answers: list[str]
    paragraph: int


def korquad() -> tuple[list[str], list[int], list[Asked]]:
    """(paragraphs, the article of each, questions)."""
    document = json.loads((data_folder("korquad") / "KorQuAD_v1.0_dev.json").read_text("utf-8"))
    paragraphs: list[str] = []
    articles: list[int] = []
    asked: list[Asked] = []
    for article, entry in enumerate(document["data"]):
        for paragraph in entry["paragraphs"]:
            for one in paragraph["qas"]:
                golden = [answer["text"] for answer in one["answers"]]
                asked.append(Asked(one["question"], golden, len(paragraphs)))
            paragraphs.append(paragraph["context"])
            articles.append(article)
    return paragraphs, articles, asked


def corpus_of(texts: list[str]) -> Corpus:
    corpus = Corpus()
    for number, text in enumerate(texts):
        for _ in corpus.read(Source(str(number), text)):
            pass
    return corpus


def holds(corpus: Corpus, found: list[Found], answers: list[str]) -> bool:
    quotes = [corpus.sources[one.source].text[one.start : one.end] for one in found]
    return any(answer in quote for quote in quotes for answer in answers)


def word_overlap(paragraph: str, asked: str) -> tuple[int, int]:
    """The peer: the sentence (split at `. `) that shares most words between spaces with the question."""
    wanted = set(asked.rstrip("?").split())
    spans = []
    start = 0
    for piece in paragraph.split(". "):
        spans.append((start, start + len(piece)))
        start += len(piece) + 2
    return max(spans, key=lambda span: len(wanted & set(paragraph[span[0] : span[1]].split())))


def gold_rows(paragraphs: list[str], asked: list[Asked], corpora: dict[int, Corpus]) -> list[Row]:
    right = []
    peer = 0
    seconds = []
    for one in asked:
        corpus = corpora[one.paragraph]
        start = time.perf_counter()
        found = corpus.best(question(one.text), 1)
        seconds.append(time.perf_counter() - start)
        right.append(holds(corpus, found, one.answers))
        begin, end = word_overlap(paragraphs[one.paragraph], one.text)
        peer += any(answer in paragraphs[one.paragraph][begin:end] for answer in one.answers)
    held = [good for good, one in zip(right, asked, strict=True) if one.paragraph % 2]
    overlap = peer / len(asked)
    figure = "KorQuAD, with the gold paragraph: the best sentence holds the answer"
    return [
        at_least(figure, share(right), share(right), 0.835, 0.86, words_shared=overlap),
        at_least(f"{figure}, held out", share(held), share(held), 0.835, 0.86),
        shown("choosing the sentence, ms p95 (paragraph read before)", 1_000 * percentile(seconds, 0.95)),
    ]


def open_rows(paragraphs: list[str], asked: list[Asked]) -> list[Row]:
    start = time.perf_counter()
    corpus = corpus_of(paragraphs)
    reading = time.perf_counter() - start
    first, three, seconds = [], [], []
    for one in asked:
        start = time.perf_counter()
        found = corpus.best(question(one.text), 3)
        seconds.append(time.perf_counter() - start)
        first.append(holds(corpus, found[:1], one.answers))
        three.append(holds(corpus, found, one.answers))
    return [
        at_least("KorQuAD, open (964 paragraphs): the best sentence", share(first), share(first), 0.76, 0.80),
        at_least("KorQuAD, open: within three sentences", share(three), share(three), 0.82, 0.86),
        shown("open: ms a question, p95", 1_000 * percentile(seconds, 0.95)),
        shown("reading 964 paragraphs, s", reading, MB_a_second=size_mb(paragraphs) / reading),
    ]


def refusal_rows(articles: list[int], asked: list[Asked], corpora: dict[int, Corpus]) -> list[Row]:
    draw = random.Random(0)
    siblings: dict[int, list[int]] = {}
    for paragraph, article in enumerate(articles):
        siblings.setdefault(article, []).append(paragraph)
    own, other, near = [], [], []
    for one in asked:
        if one.paragraph % 2 == 0:
            continue
        wanted = question(one.text)
        article = articles[one.paragraph]
        strangers = [paragraph for paragraph in corpora if articles[paragraph] != article]
        same = [p for p in siblings[article] if p != one.paragraph and p in corpora]
        own.append(refuses(corpora[one.paragraph], wanted))
        other.append(refuses(corpora[draw.choice(strangers)], wanted))
        if same:
            near.append(refuses(corpora[draw.choice(same)], wanted))
    precision = sum(other) / max(1, sum(other) + sum(own))
    near_precision = sum(near) / max(1, sum(near) + share(own) * len(near))
    return [
        at_least("refusal of a random paragraph: recall", share(other), share(other), 0.95, 0.99),
        at_least("refusal of a random paragraph: precision", precision, precision, 0.95, 0.97),
        shown("refusal of another paragraph of the article: recall", share(near), precision=near_precision),
        shown(f"answerable questions refused (threshold {SURE_ENOUGH})", share(own)),
    ]


def refuses(corpus: Corpus, wanted: Any) -> bool:
    found = corpus.best(wanted, 1)
    return not found or found[0].sure < SURE_ENOUGH


def share(values: list[bool]) -> float:
    return sum(values) / max(1, len(values))


def size_mb(texts: list[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def tokens_row(paragraphs: list[str]) -> Row:
    text = "\n".join(paragraphs)[:100_000]
    start = time.perf_counter()
    count = len(terms(text))
    return shown("terms a second", count / (time.perf_counter() - start))


def run(quick: bool) -> list[Row]:
    paragraphs, articles, asked = korquad()
    if quick:
        asked = [one for one in asked if one.paragraph % 8 in (0, 1)]
    corpora = {number: corpus_of([text]) for number, text in enumerate(paragraphs)}
    return [
        *gold_rows(paragraphs, asked, corpora),
        *open_rows(paragraphs, asked),
        *refusal_rows(articles, asked, corpora),
        tokens_row(paragraphs),
    ]


if __name__ == "__main__":
    main(run, "The extractive model")
