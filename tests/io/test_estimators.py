"""Estimators come back from skops files bit for bit; files that would run code, or fill the memory, are refused."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from skorch.callbacks import Checkpoint

from skada_active import (
    ActiveAdaptationLoop,
    BudgetSchedule,
    PoolView,
    TargetShuffleSplit,
    deep,
    query,
    recipes,
    target_accuracy,
)
from skada_active.deep import AdaptationClassifier, Objective
from skada_active.domains import mask_target
from skada_active.exceptions import DamagedFileError, UnsaveableError, UntrustedFileError
from skada_active.io import load, save
from skada_active.io.estimators import dumps, is_loadable, loads
from skada_active.loop import AbstainingOracle, ArrayOracle, NoisyOracle

# Files as an attacker writes them: nodes of skops, put together by hand.

_IDS = itertools.count(10**15)


def node(name, loader, **content):
    module, _, kind = name.rpartition(".")
    return {"__class__": kind, "__module__": module, "__loader__": loader, "__id__": next(_IDS), **content}


def plain(value):
    return node("builtins.str", "JsonNode", content=json.dumps(value))


def tuple_of(*items):
    return node("builtins.tuple", "TupleNode", content=list(items))


def dict_of(keys=None, **items):
    names = node("builtins.list", "ListNode", content=keys or [node("builtins.str", "TypeNode") for _ in items])
    return node("builtins.dict", "DictNode", content=items, key_types=names)


def made(name, **attributes):
    return node(name, "ObjectNode", content=dict_of(**attributes))


def called(name, *arguments):
    return node(name, "ConstructorFromReduceNode", content=tuple_of(*arguments))


def function(name):
    return node(name, "FunctionNode")


def method(owner, name):
    return {**owner, "__loader__": "MethodNode", "__id__": next(_IDS), "content": {"func": name, "obj": owner}}


def partial_of(func, *arguments):
    parts = {"func": func, "args": tuple_of(*arguments), "kwds": dict_of(), "namespace": plain(None)}
    return node("functools.partial", "PartialNode", content=parts)


def array(file):
    return node("numpy.ndarray", "NdArrayNode", type="numpy", file=file)


def packed(tree, compression=zipfile.ZIP_STORED, protocol=2, **parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("schema.json", json.dumps({**tree, "protocol": protocol}))
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


class Payload:
    """Make a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("echo pwned > pwned.txt",)


def pickled_npz():
    payload, buffer = np.empty((), object), io.BytesIO()
    payload[()] = Payload()
    np.savez(buffer, a=payload)
    return buffer.getvalue()


def pipeline(memory):
    return made("sklearn.pipeline.Pipeline", steps=plain(None), memory=memory)


def twice(first, second):
    """Return a list of two nodes of one id: skops makes the one it meets first, and uses it for both."""
    second["__id__"] = first["__id__"]
    return first, second


def swapped_memory():
    path, shown = twice(plain("cache"), plain(None))
    return node("builtins.list", "ListNode", content=[path, pipeline(shown)])


def operator_call():
    return {
        **node("operator.methodcaller", "OperatorFuncNode"),
        "attrs": tuple_of(plain("system"), plain("touch pwned.txt")),
    }


STREAM = called("sklearn.datasets._species_distributions.BytesIO", node("builtins.bytes", "BytesNode", file="p"))
TOUCH = plain("touch pwned.txt")
ATTACKS = {
    "re-exported Popen": called(
        "numpy.distutils.fcompiler.gnu.Popen", TOUCH, plain(-1), *[plain(None)] * 5, plain(True)
    ),
    "unpickling": node(
        "numpy.lib._datasource.DataSource",
        "ObjectNode",
        content=called("numpy.lib._npyio_impl.NpzFile", STREAM, plain(False), plain(True)),
    ),
    "removal by a finalizer": made(
        "numpy.lib._datasource.DataSource", _istmpdest=plain(True), _destpath=plain("target")
    ),
    "memory map": called(
        "numpy.memmap", plain("target.txt"), plain("uint8"), plain("w+"), plain(0), tuple_of(plain(1))
    ),
    "memory map as an array": node("numpy.memmap", "NdArrayNode", type="numpy", file="a"),
    "os.system": function("os.system"),
    "posix.system": function("posix.system"),
    "eval as a type": node("builtins.eval", "TypeNode"),
    "call of eval": called("builtins.eval", plain("open('pwned.txt', 'w')")),
    "call of exec": called("builtins.exec", plain("open('pwned.txt', 'w')")),
    "numpy.save": function("numpy.save"),
    "numpy.fromfile": function("numpy.fromfile"),
    "numpy.load": function("numpy.load"),
    "scipy.io.savemat": function("scipy.io.savemat"),
    "call of a function on the list": called("numpy.mean", plain(1)),
    "a class as a list": node("torch.optim.adam.Adam", "ListNode", content=[]),
    "an estimator that is called": called("skada_active.query.las.LAS", plain(1)),
    "method": method(made("sklearn.linear_model._logistic.LogisticRegression"), "fit"),
    "partial": partial_of(function("os.system"), TOUCH),
    "partial of what is on the list": partial_of(function("numpy.mean"), plain(1)),
    "operator": operator_call(),
    "key types that are called": dict_of([node("os.system", "TypeNode")], **{"touch pwned.txt": plain(1)}),
    "bit generator": node(
        "numpy.random._generator.Generator",
        "RandomGeneratorNode",
        content={"bit_generator": dict_of(bit_generator=plain("seed")), "seed_seq": dict_of()},
    ),
    "callback that writes": made(
        "skorch.callbacks.training.Checkpoint", dirname=plain("."), f_history=plain("target.txt")
    ),
    "any callback": made("skorch.callbacks.logging.PrintLog", sink=function("builtins.print")),
    "joblib memory": made("joblib.memory.Memory", location=plain("cache")),
    "cached node": {"__class__": "x", "__module__": "os", "__loader__": "CachedNode", "__id__": 5},
    "unknown loader": node("builtins.str", "QuantileForestNode"),
    "main module": made("__main__.Anything"),
    "class of a test module": made("sklearn.utils._testing.MinimalClassifier"),
    "name within a class": made("sklearn.linear_model._logistic.LogisticRegression.fit"),
    "re-exported estimator": made("sklearn.ensemble._voting.LabelEncoder"),
    "private module of the package": made("skada_active.query.las.json"),
    "function of the package": function("skada_active.networks.backbones.torchvision_backbone"),
    "file of the package": function("skada_active.io.estimators.load"),
    "memory": pipeline(plain("cache")),
    "memory of an array of text": pipeline(node("numpy.str_", "NdArrayNode", type="numpy", file="a", content="null")),
    "memory by an id": swapped_memory(),
    "memory in a parameter grid": made(
        "sklearn.model_selection._search.GridSearchCV",
        param_grid=dict_of(pipe__memory=node("builtins.list", "ListNode", content=[plain("cache")])),
    ),
    "state in a plain value": node("sklearn.pipeline.Pipeline", "ObjectNode", content=plain({"memory": "cache"})),
    "compiler": made(
        "skada_active.deep.classifier.AdaptationClassifier",
        net_params=dict_of(compile=plain(True), compile__options=dict_of(**{"cpp.cxx": plain("./run")})),
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder, with files that attacks are after."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept.txt").write_text("kept")
    (tmp_path / "target.txt").write_text("kept")
    yield tmp_path
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".skops") == ["target", "target.txt"]
    assert (tmp_path / "target.txt").read_text() == (tmp_path / "target" / "kept.txt").read_text() == "kept"


class TestAttacks:
    @pytest.mark.parametrize("name", ATTACKS)
    def test_a_file_that_could_run_code_is_refused_before_anything_is_made(self, folder, name):
        path, modules = folder / "model.skops", set(sys.modules)
        path.write_bytes(packed(ATTACKS[name], p=pickled_npz(), a=npy(np.zeros(1))))
        with pytest.raises((UntrustedFileError, DamagedFileError), match=r"model\.skops: ") as caught:
            load(path)
        assert not isinstance(caught.value.__cause__, OSError)
        assert set(sys.modules) <= modules | {"skops"} or not any(
            module.startswith(("os.", "numpy.distutils", "antigravity")) for module in set(sys.modules) - modules
        )

    @pytest.mark.parametrize("name", ["re-exported Popen", "unpickling", "removal by a finalizer", "memory map"])
    def test_so_is_one_that_names_it_inside_something_harmless(self, folder, name):
        inside = made("sklearn.linear_model._logistic.LogisticRegression", C=tuple_of(plain(1), ATTACKS[name]))
        with pytest.raises(UntrustedFileError):
            loads(packed(inside, p=pickled_npz()))

    def test_old_protocols_whose_names_stand_elsewhere_are_refused(self, folder):
        attack = {**node("numpy.mean", "FunctionNode"), "content": {"module_path": "os", "function": "system"}}
        for protocol in (0, 1, -1, None, True, 10**6):
            with pytest.raises(DamagedFileError):
                loads(packed(attack, protocol=protocol))

    def test_the_error_lists_what_is_refused_and_says_how_to_trust_it(self):
        tree = tuple_of(function("os.system"), function("numpy.save"), plain(1))
        with pytest.raises(
            UntrustedFileError, match=r"names numpy.save, os.system.*pass trusted=\['numpy.save', 'os.s"
        ):
            loads(packed(tree))

    def test_asking_for_a_name_imports_nothing(self, tmp_path):
        (tmp_path / "in_this_folder.py").write_text("open('pwned.txt', 'w')")
        names = [
            "numpy.f2py.__main__.x",
            "antigravity.geohash",
            "this.s",
            "sklearn.conftest.pytest",
            "in_this_folder.X",
        ]
        names += ["skada_active.__main__.X", "skada_active.cli.X", "skada_active.testing.X", "skada_active..query.X"]
        (tmp_path / "files").mkdir()
        for number, (name, loader) in enumerate(itertools.product(names, ["ObjectNode", "FunctionNode", "TypeNode"])):
            (tmp_path / "files" / f"{number}.skops").write_bytes(packed(node(name, loader, content=dict_of())))
        code = """
import sys
from pathlib import Path
from skada_active.exceptions import UntrustedFileError
from skada_active.io import load, save
save(1, "one.skops")
load("one.skops")
before = set(sys.modules)
for path in sorted(Path("files").iterdir()):
    try:
        load(path)
    except UntrustedFileError:
        print("refused")
print(sorted(set(sys.modules) - before))
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        *refused, imported = done.stdout.splitlines()
        assert (len(refused), imported) == (3 * len(names), "[]")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "in_this_folder.py", "one.skops"]

    def test_trusting_one_name_trusts_no_other(self, folder):
        tree = tuple_of(function("os.system"), function("os.getcwd"))
        with pytest.raises(UntrustedFileError, match=r"names os\.system"):
            loads(packed(tree), trusted=["os.getcwd"])

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Pipeline([("model", LogisticRegression())], memory="cache"),
            lambda: make_pipeline(StandardScaler(), Pipeline([("model", LogisticRegression())], memory="cache")),
            lambda: ColumnTransformer([("a", Pipeline([("b", StandardScaler())], memory="cache"), [0])]),
            lambda: GridSearchCV(Pipeline([("a", LogisticRegression())]), {"memory": ["cache"]}),
            lambda: AdaptationClassifier(net_params={"torch_load_kwargs": {"weights_only": False}}),
        ],
    )
    def test_folders_of_pickles_are_refused_wherever_they_stand(self, make, folder):
        with pytest.raises(UntrustedFileError, match=r"memory|torch_load_kwargs"):
            loads(dumps(make()))
        assert not is_loadable(make())

    def test_callbacks_that_write_are_not_made(self, folder):
        estimator = AdaptationClassifier(net_params={"callbacks": [("c", Checkpoint(dirname="elsewhere"))]})
        with pytest.raises(UntrustedFileError, match=r"skorch\.callbacks\.training\.Checkpoint"):
            loads(dumps(estimator))

    def test_a_file_does_not_say_where_a_given_callback_writes(self, folder, blobs):
        X, y, sample_domain = blobs

        def network():
            callbacks = [
                ("c", Checkpoint(dirname=folder / "target", f_params=None, f_optimizer=None, f_criterion=None))
            ]
            callbacks[0][1].set_params(f_history=None, monitor="train_loss_best")
            return AdaptationClassifier(max_epochs=1, net_params={"callbacks": callbacks})

        loop = ActiveAdaptationLoop(network(), query.RandomSampling(), budget=2, n_rounds=1, round_epochs=1)
        loop.fit(X, y, sample_domain=sample_domain)
        path = folder / "loop.skops"
        loop.save(path)
        content = loads(path.read_bytes())
        state, *others = loads(content["model"])
        written = {"f_history": "target.txt", "dirname": str(folder), "event_name": "x"}
        fitted = state["net_"]["callbacks"]
        stand_in = LogisticRegression()
        vars(stand_in).update(written)
        for forged in ({**fitted["c"], **written}, stand_in):
            changed = {**state, "net_": {**state["net_"], "callbacks": {**fitted, "c": forged}}}
            path.write_bytes(dumps({**content, "model": dumps([changed, *others])}))
            if forged is stand_in:
                with pytest.raises(DamagedFileError, match="the callback 'c', which is a Checkpoint"):
                    ActiveAdaptationLoop.load(path, estimator=network())
            else:
                loaded = ActiveAdaptationLoop.load(path, estimator=network())
                callback = dict(loaded.estimator_.net_.callbacks_)["c"]
                assert (callback.f_history, callback.dirname) == (None, folder / "target")
                loaded.resume(budget=1, n_rounds=1)
        path.unlink()

    def test_a_saved_loop_that_names_more_is_refused(self, blobs, folder):
        path = fitted_loop(blobs, folder)
        content = loads(path.read_bytes())
        for name in ("strategy", "estimator", "budget"):
            params = {**content["params"], name: packed(ATTACKS["re-exported Popen"])}
            path.write_bytes(dumps({**content, "params": params}))
            with pytest.raises(UntrustedFileError, match=r"loop\.skops: the file names numpy\.distutils"):
                ActiveAdaptationLoop.load(path)
        path.write_bytes(dumps({**content, "model": packed(ATTACKS["unpickling"], p=pickled_npz())}))
        with pytest.raises(UntrustedFileError, match=r"loop\.skops: the file names numpy\.lib"):
            ActiveAdaptationLoop.load(path)

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            (lambda: packed(ATTACKS["re-exported Popen"]), "names numpy.distutils"),
            (lambda: packed(ATTACKS["unpickling"], p=pickled_npz()), "names numpy.lib"),
            (lambda: dumps([StandardScaler(), {}, [], None]), "is a StandardScaler, not a LogisticRegression"),
            (lambda: dumps(LogisticRegression()), ""),
            (lambda: b"no file of skops", "damaged"),
        ],
    )
    def test_a_checkpoint_with_a_right_digest_is_no_way_in(
        self, open_session, blobs, tmp_path, monkeypatch, model, words
    ):
        from skada_active.io.journal import Journal

        session = open_session()
        ids = session.ask()
        session.tell(ids, blobs[1][ids])
        expected = session.estimator_.predict_proba(blobs[0])
        session.close()
        monkeypatch.chdir(tmp_path)
        with Journal(session.store.path) as journal:
            info, _ = journal.read_checkpoint()
            journal.write_checkpoint(info, model())
        with pytest.warns(UserWarning, match=rf"The model in .* is not used: .*{words}"):
            again = open_session()
        assert type(again.estimator_) is LogisticRegression
        np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), expected)
        assert not (tmp_path / "pwned.txt").exists()


def fitted_loop(blobs, folder, estimator=None):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(estimator or LogisticRegression(), budget=4, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain).save(folder / "loop.skops")
    return folder / "loop.skops"


def header(shape, dtype="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def npz_of(**parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def bomb():
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        del archive
    zeros, buffer = bytes(2**24), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data.npy", "w") as file:
        file.write(header((2**25,)))
        for _ in range(2**28 // len(zeros)):
            file.write(zeros)
    return buffer.getvalue()


def with_doubled_part():
    buffer = io.BytesIO(packed(array("a"), a=npy(np.zeros(3))))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a", npy(np.ones(3)))
    return buffer.getvalue()


def matrix(file="m"):
    return node("scipy.sparse._csr.csr_matrix", "SparseMatrixNode", type="scipy", file=file)


def wild_matrix():
    wild = sparse.csr_matrix(np.eye(3))
    wild.indices[1] = 10**6
    buffer = io.BytesIO()
    sparse.save_npz(buffer, wild)
    return packed(matrix(), m=buffer.getvalue())


def shared_parts():
    return packed(tuple_of(*(array("a") for _ in range(1000))), a=npy(np.zeros(1000)))


def without_ids():
    same = [{**array("a"), "__id__": 0} for _ in range(1000)]
    return packed(tuple_of(*same), a=npy(np.zeros(1000)))


def nested(depth):
    text = '{"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "__id__": 1, "content": ['
    return (text * depth) + "]}" * depth


def with_schema(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", text)
    return buffer.getvalue()


HOSTILE = {
    "bomb": lambda: packed(array("a"), zipfile.ZIP_DEFLATED, a=header((2**24,)) + bytes(2**27)),
    "bomb in a matrix": lambda: packed(matrix(), m=bomb()),
    "array of 8 TB": lambda: packed(array("a"), a=header((10**12,)) + bytes(100)),
    "array of 8 TB in a matrix": lambda: packed(matrix(), m=npz_of(format=npy(b"csr"), data=header((10**12,)))),
    "long texts": lambda: packed(array("a"), a=header((1,), "<U100000000") + bytes(100)),
    "negative shape": lambda: packed(array("a"), a=header((-1, -8)) + bytes(64)),
    "objects": lambda: packed(array("a"), a=header((1,), "|O") + pickle.dumps([Payload()])),
    "archive in place of an array": lambda: packed(array("a"), a=pickled_npz()),
    "pickle in place of an array": lambda: packed(array("a"), a=pickle.dumps(Payload())),
    "fields of no model": lambda: packed(array("a"), a=npy(np.zeros(2, [("x", "f8"), ("y", "i4")]))),
    "wild indices": wild_matrix,
    "parts of one name": with_doubled_part,
    "one part for many": shared_parts,
    "no ids": without_ids,
    "state too short": lambda: packed(
        node("sklearn.neighbors._kd_tree.KDTree", "ObjectNode", content=tuple_of(plain(1)))
    ),
    "missing part": lambda: packed(array("nowhere")),
    "thousands of parts": lambda: packed(plain(1), **{f"p{number}": b"" for number in range(5000)})[:-1000],
    "deep schema": lambda: with_schema(nested(100_000)),
    "deep list": lambda: with_schema("[" * 100_000 + "]" * 100_000),
    "deep plain value": lambda: packed(node("builtins.str", "JsonNode", content="[" * 100_000 + "]" * 100_000)),
    "no schema": lambda: packed({})[:0] + npz_of(a=b""),
    "schema that is a list": lambda: with_schema("[]"),
    "schema that is no JSON": lambda: with_schema("{"),
    "nodes that are none": lambda: packed({"__loader__": "ListNode"}),
    "content that is none": lambda: packed(node("builtins.list", "ListNode", content=3)),
    "empty": lambda: b"",
    "text": lambda: b"hello",
    "pickle": lambda: pickle.dumps(Payload()),
}


class TestHostileFiles:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_is_no_such_file_is_an_error_that_names_it(self, folder, name):
        path = folder / "model.skops"
        path.write_bytes(HOSTILE[name]())
        with pytest.raises(DamagedFileError, match=r"^.*model\.skops: "):
            load(path)

    def test_sizes_are_checked_before_anything_is_inflated(self, tmp_path):
        (tmp_path / "model.skops").write_bytes(HOSTILE["bomb in a matrix"]())
        code = """
import resource
from skada_active.io import load, save
save(1, "one.skops")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load("model.skops")
except ValueError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, error)
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("True model.skops: a sparse matrix of ")

    @pytest.mark.parametrize(
        "make", [DecisionTreeClassifier, HistGradientBoostingClassifier], ids=lambda kind: kind.__name__
    )
    @pytest.mark.parametrize("child", [0, -2, 10**6])
    def test_trees_that_link_to_what_is_not_in_them_are_refused(self, make, child):
        X = np.arange(200.0).reshape(100, 2)
        data, found = io.BytesIO(dumps(make().fit(X, X[:, 0] > 90))), 0
        with zipfile.ZipFile(data) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        for name, content in parts.items():
            values = np.load(io.BytesIO(content)) if name.endswith(".npy") else np.zeros(0)
            side = next((side for side in ("left", "left_child") if side in (values.dtype.names or ())), None)
            if side and (values["left_child"][0] != -1 if side == "left_child" else not values["is_leaf"][0]):
                values[side][0], found = np.array(child).astype(values.dtype[side]), found + 1
                parts[name] = npy(values)
        assert found
        schema = json.loads(parts.pop("schema.json"))
        with pytest.raises(DamagedFileError, match="a decision tree links to what is not in it"):
            loads(packed(schema, **parts))

    @pytest.mark.parametrize(
        "make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero")]
    )
    def test_what_is_no_regular_file_is_neither_read_nor_replaced(self, tmp_path, make):
        path = tmp_path / "model.skops"
        make(path)
        for read in (load, ActiveAdaptationLoop.load):
            with pytest.raises(DamagedFileError, match=r"model\.skops: it is no regular file"):
                read(path)
        with pytest.raises(ValueError, match="is no file that could be replaced"):
            save(LogisticRegression(), path)
        assert not path.is_file()

    def test_a_missing_file_is_an_ordinary_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            load(tmp_path / "nowhere.skops")
        assert list(tmp_path.iterdir()) == []

    def test_every_cut_and_flipped_bit_is_an_error_that_names_the_file_or_does_no_harm(self, blobs, folder):
        path = fitted_loop(blobs, folder)
        whole, expected = path.read_bytes(), ActiveAdaptationLoop.load(path).predict_proba(blobs[0])
        rng = np.random.default_rng(0)
        cuts = [whole[:size] for size in [0, 1, len(whole) - 1, *rng.integers(len(whole), size=40)]]
        ends = np.concatenate([rng.integers(len(whole), size=120), np.arange(len(whole) - 60, len(whole))])
        flips = [whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :] for at in ends]
        outcomes = []
        for damaged in cuts + flips:
            path.write_bytes(damaged)
            try:
                loaded = ActiveAdaptationLoop.load(path)
            except (DamagedFileError, UntrustedFileError) as error:
                outcomes.append(str(error).startswith(str(path)))
            else:
                np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), expected)
        assert all(outcomes)
        assert len(outcomes) > 150

    @pytest.mark.parametrize(
        "change",
        [
            {"format": 2},
            {"missing": {"estimator": [], "strategy": ["no_such"]}},
            {"events": ["{}"]},
            {"events": ['{"event": "told", "time": "x", "ids": [1], "labels": [1], "annotator": null}']},
            {"events": []},
            {"params": {}},
            {"params": {"no_such": b""}},
            {"model": b""},
            {"model": dumps([StandardScaler(), {}, [], []])},
            {"model": dumps(3)},
            {"y": None},
            {"domain": np.zeros(3)},
            {"fingerprint": "{}"},
            {"fingerprint": 3},
            {"X": np.zeros((2, 2))},
            {"rounds": None},
            {"seed": -1},
            {"versions": {}},
            {"columns": 3},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_file_that_is_no_whole_loop_is_an_error_that_names_it(self, blobs, folder, change):
        path = fitted_loop(blobs, folder)
        path.write_bytes(dumps({**loads(path.read_bytes()), **change}))
        with pytest.raises(ValueError, match=r"loop\.skops"):
            ActiveAdaptationLoop.load(path)

    def test_a_file_of_something_else_is_no_loop(self, folder):
        for value in (LogisticRegression(), [], {"format": 1}, 3):
            save(value, folder / "other.skops")
            with pytest.raises(DamagedFileError, match=r"other\.skops: it holds no loop"):
                ActiveAdaptationLoop.load(folder / "other.skops")


def as_text(value):
    """Return a text of all that was saved, to compare by."""
    from skada_active.io.parameters import _content

    return _content(value)


class OwnEstimator(BaseEstimator):
    def __init__(self, knob=1):
        self.knob = knob


STRATEGIES = sorted(
    {kind for kind in vars(query).values() if isinstance(kind, type) and issubclass(kind, query.QueryStrategy)},
    key=lambda kind: (kind is not query.QueryStrategy, kind.__name__),
)
OBJECTIVES = [
    kind
    for name in deep.__all__
    if isinstance(kind := getattr(deep, name), type) and issubclass(kind, Objective) and kind is not Objective
]
CONFIGURED = {
    **{kind.__name__: kind() for kind in STRATEGIES},
    **{name: getattr(recipes, name)() for name in ("sdm", "lada", "sage", "gala", "gsda")},
    "schedule": BudgetSchedule(0.1, 3),
    "loop": ActiveAdaptationLoop(LogisticRegression(), query.LAS(estimator=LogisticRegression(C=3))),
    "search of a loop": GridSearchCV(
        ActiveAdaptationLoop(LogisticRegression(), query.LAS()), {"budget": [4, 8]}, cv=TargetShuffleSplit(2)
    ),
    "oracles": AbstainingOracle(NoisyOracle(ArrayOracle(np.array(["a", "b"])), classes=["a", "b"]), rate=0.5),
    "view": PoolView(proba=np.full((3, 2), 0.5)),
    "ufunc": FunctionTransformer(np.tanh),
    "plain values": {"a": (1, 2.5, None, True, "é", b"x"), 3: [np.float32(0.1), np.arange(3)], "s": {1, 2}},
    "objects": np.array(["a", None, 3, 2.5], dtype=object),
    "sparse": [sparse.csr_array(np.eye(3)), sparse.csc_matrix(np.eye(2))],
    "random": [np.random.RandomState(3), np.random.default_rng(3)],
}


class TestWhatComesBack:
    @pytest.mark.parametrize("name", CONFIGURED)
    def test_configured_objects(self, name, tmp_path):
        value = CONFIGURED[name]
        save(value, tmp_path / "value.skops")
        back = load(tmp_path / "value.skops")
        assert type(back) is type(value)
        assert as_text(back) == as_text(value)

    @pytest.mark.parametrize("kind", [kind for _, kind in all_estimators("classifier")], ids=lambda kind: kind.__name__)
    @pytest.mark.filterwarnings("ignore")
    def test_every_classifier_of_scikit_learn(self, kind, blobs):
        X, y = np.abs(blobs[0]), (blobs[1] > 0).astype(int)
        model = _make(kind)
        model.fit(X, np.column_stack([y, y]) if "MultiOutput" in kind.__name__ or "Chain" in kind.__name__ else y)
        back = loads(dumps(model))
        model = pickle.loads(pickle.dumps(model))  # as scikit-learn's own way, where the layout of arrays counts
        np.testing.assert_array_equal(back.predict(X), model.predict(X))
        if hasattr(model, "predict_proba"):
            np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))

    @pytest.mark.parametrize("kind", STRATEGIES[1:], ids=lambda kind: kind.__name__)
    @pytest.mark.filterwarnings("ignore")
    def test_every_fitted_strategy(self, kind, blobs):
        X, y, sample_domain = blobs
        strategy = kind(random_state=0).fit(X, mask_target(y, sample_domain), sample_domain)
        back = loads(dumps(strategy))
        assert isinstance(back.pool_, PoolView)
        assert back.query(5).tolist() == strategy.query(5).tolist()

    @pytest.mark.parametrize("kind", OBJECTIVES, ids=lambda kind: kind.__name__)
    def test_every_objective_in_a_fitted_classifier(self, kind, blobs):
        X, y, sample_domain = blobs
        model = AdaptationClassifier(kind(), augmentation="auto", max_epochs=1, batch_size=4, random_state=0)
        model.fit(X, mask_target(y, sample_domain), sample_domain)
        np.testing.assert_array_equal(loads(dumps(model)).predict_proba(X), model.predict_proba(X))

    def test_types_of_ones_own_once_they_are_trusted(self, tmp_path):
        save(make_pipeline(OwnEstimator(3)), tmp_path / "own.skops")
        with pytest.raises(
            UntrustedFileError, match=rf"own\.skops: the file names {__name__}\.OwnEstimator, .*trusted="
        ):
            load(tmp_path / "own.skops")
        for trusted in ([OwnEstimator], OwnEstimator, [f"{__name__}.OwnEstimator"], f"{__name__}.OwnEstimator"):
            assert load(tmp_path / "own.skops", trusted=trusted)[0].knob == 3

    def test_what_has_no_form_without_pickle_is_refused_by_name(self, tmp_path):
        with pytest.raises(UnsaveableError, match="Pipeline cannot be written without pickle: "):
            save(make_pipeline(FunctionTransformer(item for item in ())), tmp_path / "x.skops")
        assert list(tmp_path.iterdir()) == []

    def test_a_fitted_loop_has_a_method_of_its_own(self, blobs, tmp_path):
        loop = ActiveAdaptationLoop(LogisticRegression(), query.RandomSampling(), budget=2, n_rounds=1)
        search = GridSearchCV(loop, {"budget": [2]}, cv=TargetShuffleSplit(2), scoring=target_accuracy)
        search.fit(blobs[0], blobs[1], sample_domain=blobs[2], groups=blobs[2])
        with pytest.raises(UnsaveableError, match=r"GridSearchCV holds a fitted loop; .*loop\.save\(path\)"):
            save(search, tmp_path / "x.skops")
        search.best_estimator_.save(tmp_path / "x.skops")
        loaded = ActiveAdaptationLoop.load(tmp_path / "x.skops")
        np.testing.assert_array_equal(loaded.predict(blobs[0]), search.predict(blobs[0]))

    def test_shared_objects_stay_shared_and_layouts_are_kept(self):
        rng = np.random.RandomState(0)
        back = loads(dumps({"a": rng, "b": rng, "f": np.asfortranarray(np.ones((2, 3)))}))
        assert back["a"] is back["b"]
        assert back["f"].flags.f_contiguous


def _make(kind):
    if "estimators" in kind.__init__.__code__.co_varnames:
        return kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=2))])
    if (
        "param_distributions" in kind.__init__.__code__.co_varnames
        or "param_grid" in kind.__init__.__code__.co_varnames
    ):
        return kind(LogisticRegression(), {"C": [0.1, 1]})
    if kind.__name__ == "SelfTrainingClassifier":
        return kind(LogisticRegression())
    try:
        return kind(random_state=0)
    except TypeError:
        pass
    try:
        return kind()
    except TypeError:
        return kind(LogisticRegression())


class TestWriting:
    def test_a_folder_is_made_and_a_file_replaced(self, tmp_path):
        path = tmp_path / "new" / "model.skops"
        for C in (1, 2):
            save(LogisticRegression(C=C), path)
            assert load(path).C == C
        assert [file.name for file in path.parent.iterdir()] == ["model.skops"]

    def test_a_link_goes_on_pointing_at_its_file(self, tmp_path):
        (tmp_path / "link.skops").symlink_to(tmp_path / "model.skops")
        for C in (1, 2):
            save(LogisticRegression(C=C), tmp_path / "link.skops")
            assert load(tmp_path / "model.skops").C == C
        assert (tmp_path / "link.skops").is_symlink()

    @pytest.mark.skipif(os.name == "nt", reason="has no such permissions")
    def test_permissions_are_those_of_any_new_file_and_of_the_one_replaced(self, tmp_path):
        path = tmp_path / "model.skops"
        (tmp_path / "other").write_text("")
        save(1, path)
        assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
        path.chmod(0o600)
        save(2, path)
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("name", ["fsync", "replace", "write"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
    def test_a_full_disk_or_an_interruption_keeps_the_old_file(self, tmp_path, monkeypatch, name, error):
        path = tmp_path / "model.skops"
        save(LogisticRegression(C=1), path)

        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr(os, "fsync" if name == "write" else name, fail)
        with pytest.raises(type(error)):
            save(LogisticRegression(C=2), path)
        monkeypatch.undo()
        assert load(path).C == 1
        assert [file.name for file in tmp_path.iterdir()] == ["model.skops"]

    def test_two_that_save_and_one_that_loads_at_once(self, tmp_path):
        path, contents = tmp_path / "model.skops", [LogisticRegression(C=n) for n in (1, 2)]
        save(contents[0], path)
        code = f"""
from sklearn.linear_model import LogisticRegression
from skada_active.io import save
for _ in range(100):
    save(LogisticRegression(C=2), {str(path)!r})
"""
        process = subprocess.Popen([sys.executable, "-c", code])
        threads = [threading.Thread(target=lambda: [save(contents[0], path) for _ in range(60)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        n_loads = 0
        while process.poll() is None or any(thread.is_alive() for thread in threads):
            assert load(path).C in (1, 2)
            n_loads += 1
        assert process.returncode == 0
        assert n_loads > 20
        assert [file.name for file in tmp_path.iterdir()] == ["model.skops"]


@pytest.mark.parametrize(
    "model",
    [
        lambda: RandomForestClassifier(3, random_state=0),
        lambda: CalibratedClassifierCV(LogisticRegression()),
        lambda: FrozenEstimator(LogisticRegression().fit([[0.0] * 3, [1.0] * 3], [0, 1])),
    ],
)
def test_a_file_saved_twice_loads_alike(model, blobs, tmp_path):
    fitted = model().fit(blobs[0], blobs[1])
    for path in (tmp_path / "first.skops", Path(tmp_path / "second.skops")):
        save(fitted, path)
        fitted, before = load(path), fitted
        np.testing.assert_array_equal(fitted.predict_proba(blobs[0]), before.predict_proba(blobs[0]))
