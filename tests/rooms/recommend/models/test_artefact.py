from pathlib import Path

import numpy as np
import pytest

from holdfast.kernel.errors import NotFound
from holdfast.rooms.recommend.models.artefact import CorruptArtefact, listed, load, save
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.ease import Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf
from holdfast.rooms.recommend.models.persona import PersonaIndex
from holdfast.rooms.recommend.models.popularity import Popularity
from tests.rooms.recommend.models.catalogue import matrix

LOG = matrix()
HISTORY, WEIGHTS = np.asarray([1, 7]), np.ones(2, dtype=np.float32)
CONTENT = ContentIndex.fit(
    [f"상품 {item}" for item in range(60)], [[f"종류{item % 3}"] for item in range(60)]
)
META = {"reason": "가장 좋음", "ndcg": 0.25, "users": 120}


@pytest.mark.parametrize("model", [Popularity.fit(LOG), Ease.fit(LOG), Gfcf.fit(LOG), CONTENT])
def test_what_is_saved_is_loaded(tmp_path: Path, model):
    identity = save(tmp_path / "models", model, META)
    again, meta = load(tmp_path / "models", identity)
    assert type(again) is type(model)
    assert meta == META
    np.testing.assert_array_equal(again.score(HISTORY, WEIGHTS), model.score(HISTORY, WEIGHTS))


def test_a_persona_index_is_loaded_with_its_content(tmp_path: Path):
    persona = PersonaIndex.fit(CONTENT, [[f"종류{item % 3}"] for item in range(60)], LOG, ["a", "b", ""] * 40)
    again, _ = load(tmp_path, save(tmp_path, persona, {}))
    np.testing.assert_array_equal(again.score(["종류1"], "b"), persona.score(["종류1"], "b"))


def test_the_id_is_what_is_in_it(tmp_path: Path):
    first = save(tmp_path, Ease.fit(LOG), META)
    assert save(tmp_path, Ease.fit(LOG), dict(reversed(META.items()))) == first
    assert save(tmp_path, Ease.fit(LOG, ridge=301.0), META) != first
    assert save(tmp_path, Ease.fit(LOG), {**META, "users": 121}) != first
    assert len(listed(tmp_path)) == 3
    assert len(first) == 64


def test_a_draft_left_by_a_crash_is_not_listed(tmp_path: Path):
    identity = save(tmp_path, Popularity.fit(LOG), {})
    (tmp_path / ".partial-x").mkdir()
    assert listed(tmp_path) == [identity]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".partial-")] == [".partial-x"]
    assert listed(tmp_path / "nowhere") == []


@pytest.mark.parametrize("file", ["shares.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "empty"])
def test_damage_is_found_and_named_and_mended_by_saving_again(tmp_path: Path, file: str, damage: str):
    model = Popularity.fit(LOG)
    identity = save(tmp_path, model, META)
    victim = tmp_path / identity / file
    content = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    else:
        content[-3] ^= 1
        victim.write_bytes({"flip": content, "cut": content[:-5], "empty": b""}[damage])
    with pytest.raises(CorruptArtefact) as found:
        load(tmp_path, identity)
    assert identity in found.value.detail
    assert "train again" in found.value.hint
    assert save(tmp_path, model, META) == identity
    assert load(tmp_path, identity)[1] == META


@pytest.mark.parametrize("identity", ["0" * 64, "", "..", "../other", "/etc"])
def test_what_is_not_there_is_not_found(tmp_path: Path, identity: str):
    folder = tmp_path / "models"
    save(folder, Popularity.fit(LOG), {})
    (tmp_path / "other").mkdir()
    with pytest.raises(NotFound):
        load(folder, identity)


def test_the_arrays_are_mapped_not_read(tmp_path: Path):
    again, _ = load(tmp_path, save(tmp_path, Ease.fit(LOG), {}))
    assert isinstance(again.arrays()["pull"], np.memmap)
