"""What finds passages, and what gives chunks the vectors to be found by, as the settings say."""

from typing import NamedTuple

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.ports.model import Model
from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.engine.dense import Dense
from holdfast.rooms.knowledge.engine.embedders import Embedder, LocalEmbedder, ModelEmbedder
from holdfast.rooms.knowledge.engine.embedding import Embedding
from holdfast.rooms.knowledge.engine.ingesting import Embeds, NoEmbedder
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.engine.search import Search
from holdfast.rooms.knowledge.engine.trials import Trials
from holdfast.rooms.knowledge.engine.vectorising import Vectorising
from holdfast.rooms.knowledge.rules.settings import Config
from holdfast.rooms.knowledge.store.paces import Paces
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.vectors import VectorStore


class Legs(NamedTuple):
    """The search, and what embeds."""

    search: Search
    embeds: Embeds


def legs_of(config: Config, sql: Sql, store: Store, model: Model, clock: Clock) -> Legs:
    """Terms alone, or terms and vectors. Raises Misconfigured for an embedder that cannot be."""
    lexical = Lexical(store, clock)
    embedder = _embedder(config, model)
    if embedder is None:
        return Legs(Search(store, lexical), NoEmbedder())
    vectors = VectorStore(sql)
    pace = Paces(sql, embedder.id, config.pace)
    embedding = Embedding(embedder, store, vectors, pace, clock, config.batching)
    trials = Trials(embedding, store, vectors, clock)
    search = Search(store, lexical, Dense(embedding, store, vectors), trials, embedder.id)
    return Legs(search, Vectorising(embedding, trials))


def _embedder(config: Config, model: Model) -> Embedder | None:
    if config.embeddings_model and config.embeddings_folder:
        raise Misconfigured(
            "knowledge.embeddings_model and knowledge.embeddings_folder are both set", hint="set one of them"
        )
    if config.embeddings_folder:
        return LocalEmbedder(config.embeddings_folder)
    return ModelEmbedder(model, config.embeddings_model) if config.embeddings_model else None
