"""Named encoders: the real libraries where they are installed, stand-ins for what needs a network."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from skada_active.embedding import Embedding

TEXTS = ["the cat sat", "a dog", "the cats", "a dog"]


class StandIn(nn.Module):
    """Encode texts by their length, as a model of sentence-transformers would be called."""

    loaded = 0

    def __init__(self, name, device=None, revision=None, local_files_only=False):
        super().__init__()
        if name == "not/there":
            raise OSError("no connection\nand more")
        type(self).loaded += 1

    def encode(self, texts, batch_size, show_progress_bar):
        return np.array([[len(text), batch_size] for text in texts], dtype=np.float32)


@pytest.fixture
def library(monkeypatch):
    """Put a stand-in in the place of sentence-transformers."""
    StandIn.loaded = 0
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=StandIn))


@pytest.fixture
def hub(monkeypatch):
    """Put a hub in the place of huggingface_hub, which has one model, and return its commits."""
    commits = {"sentence-transformers/tiny": "c0ffee"}

    def snapshot_download(repository, revision, local_files_only):
        assert local_files_only
        if repository not in commits:
            raise OSError("not in the cache")
        return f"/cache/{revision or commits[repository]}"

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    constants = SimpleNamespace(HF_HUB_CACHE="/the/cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", constants)
    return commits


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1")
    return folder


def test_a_folder_counts_by_its_files_and_is_loaded_when_it_is_needed(tmp_path, library, model):
    embedding = Embedding(model, cache=tmp_path / "cache", batch_size=16)
    assert StandIn.loaded == 0
    vectors = embedding.fit_transform(TEXTS)
    np.testing.assert_array_equal(vectors, [[len(text), 16] for text in TEXTS])
    moved = model.rename(tmp_path / "moved")
    np.testing.assert_array_equal(Embedding(f"{moved}", cache=tmp_path / "cache").transform(TEXTS), vectors)
    named = Embedding(f"sentence-transformers:{moved}", cache=tmp_path / "cache")
    np.testing.assert_array_equal(named.transform(TEXTS), vectors)
    assert StandIn.loaded == 1
    (moved / "weights").write_bytes(b"2")
    Embedding(moved, cache=tmp_path / "cache").transform(TEXTS)
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 2


def test_a_model_is_loaded_once_and_pickled_never(library, model):
    embedding = Embedding(model).fit(TEXTS)
    embedding.transform(TEXTS)
    assert StandIn.loaded == 1
    copy = pickle.loads(pickle.dumps(embedding))
    copy.transform(TEXTS)
    assert StandIn.loaded == 1
    assert len(pickle.dumps(embedding)) < 1000


def test_a_name_counts_by_its_commit(tmp_path, library, hub):
    for name in ("tiny", "sentence-transformers/tiny", "tiny@c0ffee"):
        Embedding(f"sentence-transformers:{name}", cache=tmp_path).transform(TEXTS)
    assert (StandIn.loaded, len(list(tmp_path.glob("*.sqlite")))) == (1, 1)
    hub["sentence-transformers/tiny"] = "decade"
    Embedding("sentence-transformers:tiny", cache=tmp_path).transform(TEXTS)
    assert (StandIn.loaded, len(list(tmp_path.glob("*.sqlite")))) == (2, 2)


def test_weights_that_cannot_be_fetched_are_named_with_the_remedy(tmp_path, library, hub):
    message = r"'sentence-transformers:not/there': its weights are not in /the/cache.*\(no connection\).*folder"
    for params in ({}, {"cache": tmp_path}):
        with pytest.raises(OSError, match=message):
            Embedding("sentence-transformers:not/there", **params).transform(TEXTS)


def test_weights_of_timm_that_cannot_be_fetched_are_named_with_the_remedy(monkeypatch, hub):
    def create_model(name, pretrained, num_classes):
        raise OSError("no connection")

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    with pytest.raises(OSError, match=r"'timm:resnet18': its weights are not in /the/cache.*checkpoint_path=FILE"):
        Embedding("timm:resnet18").transform(np.zeros((1, 3, 8, 8)))


@pytest.mark.parametrize(("name", "library"), [("timm:resnet18", "timm"), ("sentence-transformers:a", "(sent|hugg)")])
def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch, name, library):
    for module in ("timm", "sentence_transformers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, module, None)
    X = TEXTS if library != "timm" else np.zeros((1, 3, 8, 8))
    with pytest.raises(ImportError, match=rf"needs {library}.*skada-active\[embedding\]"):
        Embedding(name).transform(X)


def test_a_model_with_encode_reads_texts(tmp_path):
    model = StandIn("name")
    np.testing.assert_array_equal(Embedding(model).transform(TEXTS)[:, 0], [len(text) for text in TEXTS])
    with pytest.raises(TypeError, match="reads texts"):
        Embedding(model).transform(np.ones((2, 2)))
    with pytest.raises(ValueError, match="needs cache_key"):
        Embedding(model, cache=tmp_path).transform(TEXTS)
    Embedding(model, cache=tmp_path, cache_key="k").transform(TEXTS)
    model.weight = nn.Parameter(torch.ones(1))  # its weights count beside the key
    Embedding(model, cache=tmp_path, cache_key="k").transform(TEXTS)
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


@pytest.mark.filterwarnings("ignore")
def test_timm_itself(tmp_path):
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", num_classes=10)
    timm.models.save_for_hf(model, tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 170, 180), dtype=np.uint8)
    pictures = [Image.fromarray(np.moveaxis(image, 0, -1)) for image in images]
    pictures[0].save(tmp_path / "0.png")
    embedding = Embedding(f"timm:local-dir:{tmp_path / 'model'}", cache=tmp_path / "cache")
    vectors = embedding.fit_transform(pictures)
    np.testing.assert_array_equal(embedding.transform(images), vectors)
    np.testing.assert_array_equal(embedding.transform([tmp_path / "0.png"]), vectors[:1])
    own = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True, num_classes=0)
    steps = timm.data.create_transform(**timm.data.resolve_model_data_config(own), is_training=False)
    np.testing.assert_allclose(Embedding(own, preprocess=steps).transform(pictures), vectors, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=r"Unknown model.*list_models"):
        Embedding("timm:no_such_model").transform(images)


@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers_itself(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "cat", "dog", "sat", "##s"]
    tokenizer = transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    network = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes))
    for part in (tokenizer, network):
        part.save_pretrained(tmp_path / "network")
    library.SentenceTransformer(str(tmp_path / "network"), device="cpu").save(str(tmp_path / "model"))
    model = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    for encoder in (tmp_path / "model", model):
        vectors = Embedding(encoder, batch_size=2).fit_transform(TEXTS)
        np.testing.assert_allclose(vectors, model.encode(TEXTS), rtol=1e-5, atol=1e-5)
    cached = Embedding(tmp_path / "model", cache=tmp_path / "cache")
    np.testing.assert_allclose(cached.fit_transform(TEXTS), model.encode(TEXTS), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(cached.transform(TEXTS), cached.fit_transform(TEXTS))
