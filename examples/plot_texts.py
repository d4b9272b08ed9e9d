"""
Texts, encoded once
===================

A classifier of praise and blame was made for reviews of phones, and is to read reviews of films. Texts become vectors
by a language model, each of them once, and forty of the new ones can be labelled. How much is in the vectors, how much
in the labels?
"""

# %%
# Texts and their vectors
# -----------------------
# `~skada_active.embedding.Embedding` stands at the head of a pipeline and takes texts. For texts of your own its
# encoder is the name of a model, ``Embedding("sentence-transformers:all-MiniLM-L6-v2", cache="vectors")``, or the
# folder that it lies in. Here nothing is downloaded: the vectors that this model made of these reviews come with the
# data, and the encoder is a function that looks them up. Like any encoder it is asked only for texts that are not in
# the cache yet: a review that occurs twice is encoded once, and the second time, or the next day, none is. Reading
# takes the same time then, however slow the model is.

import tempfile
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skada_active import ActiveAdaptationLoop, mask_target
from skada_active.datasets import load_sentences
from skada_active.embedding import Embedding
from skada_active.query import RandomSampling

vectors, y, sample_domain, texts = load_sentences("amazon", "imdb", return_texts=True)
vector_of = dict(zip(texts, vectors, strict=True))

encoded = []


def encode(batch):
    encoded.extend(batch)
    return np.array([vector_of[text] for text in batch])


embedding = Embedding(encode, cache=tempfile.mkdtemp(), cache_key="all-MiniLM-L6-v2")
for turn in ("first time", "again"):
    encoded.clear()
    start = perf_counter()
    embedding.fit_transform(texts)
    seconds = perf_counter() - start
    print(f"{turn}: {len(encoded)} of {len(texts)} texts encoded, {seconds:.2f} s")

# %%
# Forty labels
# ------------
# The loop takes the texts as they are. Beside the vectors stands what texts are without a language model: the
# weights of their words. Three seeds each.

pipelines = {
    "vectors": make_pipeline(embedding, LogisticRegression(C=10)),
    "words": make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)),
}
figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
colors = {"vectors": "#0072B2", "words": "#D55E00"}
for name, model in pipelines.items():
    for strategy, style in ((None, "-"), (RandomSampling(), "--")):
        curves = []
        for seed in range(3):
            loop = ActiveAdaptationLoop(
                model, strategy, budget=40, n_rounds=4, random_state=seed
            )
            loop.fit(texts, y, sample_domain=sample_domain)
            n_labels, accuracy = loop.learning_curve("unqueried")
            curves.append(100 * accuracy)
        mean = np.mean(curves, axis=0)
        how = "asked for" if strategy is None else "random"
        print(f"{name}, {how}: {mean.round(1)} %")
        axis.plot(n_labels, mean, style, color=colors[name], marker="o", label=f"{name}, {how}")
axis.set(
    xlabel="labels of film reviews",
    ylabel="accuracy on film reviews\nnever asked for (%)",
    xticks=n_labels,
)
axis.legend(frameon=False)
axis.grid(alpha=0.3)
print(f"texts encoded in all these runs: {len(encoded)}")

# %%
# Most of it is in the vectors: with no label of a film review they are far better than the words with forty. The
# labels add some points to the vectors. Whether they were asked for or drawn makes a point or so, and three seeds
# cannot tell that from chance.

# %%
# What a person is asked
# ----------------------
# The default strategy draws half of its questions at random and asks for doubtful ones, of a probability near one half,
# with the other half. A session hands out the questions as a table, with what the model thinks of each. Filled in, as a
# spreadsheet if you like, it goes back by ``session.tell_table(table)``.

loop = ActiveAdaptationLoop(pipelines["vectors"], budget=40, n_rounds=4, random_state=0)
session = loop.session(texts, mask_target(y, sample_domain), sample_domain=sample_domain)
session.ask()
table = session.questions()
table["x0"] = table["x0"].str.slice(0, 70)
print(table[["id", "x0", "prediction", "probability"]].head(8).to_string(index=False))
