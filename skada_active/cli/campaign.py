"""Campaign: a folder with the settings and the answers of one labelling session, for the command line."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skada_active import query, recipes
from skada_active.datasets import image_folders
from skada_active.exceptions import DamagedFileError
from skada_active.io import load
from skada_active.loop import ActiveAdaptationLoop
from skada_active.recipes._tables import TablePreparation
from skada_active.session import AdaptationSession
from skada_active.source_free import HypothesisTransfer, SourceModel

__all__ = ["Campaign", "DataFile", "make_loop", "read_table"]

Data = tuple[Any, NDArray[Any], NDArray[np.int64]]
SETTINGS, ANSWERS = "campaign.json", "labels.db"


@dataclass(frozen=True)
class DataFile:
    """Where the rows of a campaign or task lie, and what in them is what.

    Parameters
    ----------
    path : str
        A table (``.csv``, ``.parquet``, ``.xlsx``), an archive of numpy (``.npz``) with arrays ``X``, ``y`` and
        ``domain``, or a folder of one folder of images per domain.
    target : list of str
        Names of the target domains.
    source : list of str, default=None
        Names of the source domains; ``None``: all others.
    domain, label : str
        Columns of a table, or arrays of an archive, with the domain and the label; rows without a label are the pool.
    drop : list of str, default=()
        Columns that are no features, such as numbers of patients.
    image_size : int, default=64
        Pixels a side that images are resized to.
    """

    path: str
    target: list[str]
    source: list[str] | None = None
    domain: str = "domain"
    label: str = "label"
    drop: tuple[str, ...] = ()
    image_size: int = 64

    def read(self) -> Data:
        """Return rows, labels and domains; an error names what the file lacks."""
        path = Path(self.path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"{self.path} does not exist (looked for from {os.getcwd()!r}).")
        if path.is_dir():
            return self._images(path)
        X, labels, domains = self._archive(path) if path.suffix == ".npz" else self._table(path)
        names = np.asarray(domains).astype(str)
        known = sorted(set(names.tolist()))
        sources = self.source if self.source is not None else [name for name in known if name not in self.target]
        for option, chosen in (("target", self.target), ("source", sources)):
            if absent := [name for name in chosen if name not in known]:
                raise ValueError(f"{option} {absent[0]!r} is no domain of {self.path}; there are {known[:20]}.")
        if both := set(sources) & set(self.target):
            raise ValueError(f"{sorted(both)[0]!r} is named as source and as target.")
        number = {name: position * (-1 if name in self.target else 1) for position, name in enumerate(known, start=1)}
        rows = np.flatnonzero(np.isin(names, [*sources, *self.target]))
        if len(rows) < len(names):
            X = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        return X, _labels(labels[rows]), np.array([number[name] for name in names[rows]], dtype=np.int64)

    def _table(self, path: Path) -> tuple[Any, NDArray[Any], NDArray[Any]]:
        frame = read_table(path)
        columns = [self.domain, self.label, *self.drop]
        if absent := [name for name in columns if name not in frame.columns]:
            raise ValueError(
                f"{self.path} has no column {absent[0]!r}; there are {list(map(str, frame.columns))[:20]}."
            )
        labels = frame[self.label].astype(object)
        domains = frame[self.domain]
        if domains.isna().any():
            raise ValueError(
                f"{self.path} has no domain in row {int(domains.isna().argmax())} (column {self.domain!r})."
            )
        return frame.drop(columns=columns), labels.where(labels.notna(), None).to_numpy(), domains.to_numpy()

    def _archive(self, path: Path) -> tuple[Any, NDArray[Any], NDArray[Any]]:
        with np.load(path, allow_pickle=False) as archive:
            if absent := [name for name in ("X", self.label, self.domain) if name not in archive]:
                raise ValueError(f"{self.path} has no array {absent[0]!r}; there are {sorted(archive)[:20]}.")
            labels = archive[self.label].astype(object)
            labels[np.equal(labels, -1) | np.not_equal(labels, labels)] = None
            return archive["X"], labels, archive[self.domain]

    def _images(self, path: Path) -> Data:
        folders = {folder.name: folder for folder in sorted(path.iterdir()) if folder.is_dir()}
        if absent := [name for name in (*self.target, *(self.source or ())) if name not in folders]:
            raise ValueError(f"{self.path} has no folder {absent[0]!r}; there are {list(folders)[:20]}.")
        source = self.source if self.source is not None else [name for name in folders if name not in self.target]
        used = {name: folders[name] for name in (*source, *self.target)}
        return image_folders(used, source=source, target=self.target, image_size=self.image_size)


@dataclass(frozen=True)
class Campaign:
    """Campaign in a folder: its data, its loop, and the journal of its answers.

    Parameters
    ----------
    folder : Path
        The folder.
    data : DataFile
        The rows.
    loop : dict
        What `make_loop` makes the loop of.
    """

    folder: Path
    data: DataFile
    loop: dict[str, Any]

    @classmethod
    def create(cls, folder: str | os.PathLike[str], data: DataFile, loop: dict[str, Any]) -> Campaign:
        """Return a new campaign, whose settings are in its folder; one that is there already is an error."""
        path = Path(folder)
        if (path / SETTINGS).exists() or (path / ANSWERS).exists():
            raise FileExistsError(f"{path} holds a campaign already; go on with it, or name another --folder.")
        path.mkdir(parents=True, exist_ok=True)
        # The files are found from any working folder.
        data = DataFile(**{**asdict(data), "path": str(Path(data.path).expanduser().absolute())})
        if loop.get("model"):
            loop = {**loop, "model": str(Path(loop["model"]).expanduser().absolute())}
        campaign = cls(path, data, loop)
        try:
            campaign.session().close()
        except BaseException:  # what cannot be trained leaves no campaign behind
            (path / ANSWERS).unlink(missing_ok=True)
            raise
        (path / SETTINGS).write_text(json.dumps({"format": 1, "data": asdict(data), "loop": loop}, indent=1) + "\n")
        return campaign

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Campaign:
        """Return the campaign of a folder."""
        path = Path(folder) / SETTINGS
        try:
            settings = json.loads(path.read_text())
            return cls(Path(folder), DataFile(**settings["data"]), settings["loop"])
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{folder} holds no campaign; begin one by: skada-active init DATA ...") from error
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedFileError(f"{path} is damaged ({error}); restore it from a copy.") from error

    def session(self) -> AdaptationSession:
        """Return the session, which goes on with all answers that are in the folder."""
        X, y, sample_domain = self.data.read()
        loop = make_loop(self.loop, is_table=not Path(self.data.path).is_dir())
        return loop.session(X, y, sample_domain=sample_domain, journal=self.folder / ANSWERS)


def make_loop(settings: dict[str, Any], *, is_table: bool = True) -> Any:
    """Return the loop that settings describe.

    Parameters
    ----------
    settings : dict
        ``recipe`` (a name in `skada_active.recipes`), or ``model`` (a file of a model: one that is fitted goes on by
        `HypothesisTransfer`) and ``strategy`` (the name of a class in `skada_active.query`), and parameters of the
        loop.
    is_table : bool, default=True
        Whether rows are those of a table or array: without ``model``, gaps and texts are prepared and a logistic
        regression is trained; otherwise the default network.
    """
    params = dict(settings)
    recipe, model, strategy = (params.pop(name, None) for name in ("recipe", "model", "strategy"))
    chosen = _named(query, strategy, "strategy")() if strategy else None
    if recipe:
        if model or (strategy and recipe != "baseline"):
            raise ValueError(f"recipe={recipe!r} has its own model and strategy; leave --model and --strategy out.")
        make = _named(recipes, recipe, "recipe")
        return make(chosen or query.MarginSampling(), **params) if recipe == "baseline" else make(**params)
    if model:
        estimator = _loaded(model)
    elif is_table:
        estimator = make_pipeline(TablePreparation(), StandardScaler(), LogisticRegression(max_iter=1000))
    else:
        estimator = None
    return ActiveAdaptationLoop(estimator, chosen, **params)


def read_table(path: str | os.PathLike[str]) -> Any:
    """Return a table of a ``.csv``, ``.parquet`` or ``.xlsx`` file as a DataFrame."""
    try:
        import pandas as pd  # here, for the package works without it
    except ImportError as error:
        raise ImportError("Tables are read by pandas: pip install pandas.") from error
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".xlsx": pd.read_excel}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path} must end in .csv, .parquet, .xlsx or .npz, or be a folder of images.")
    return readers[suffix](path)


def _named(part: Any, name: str, argument: str) -> Any:
    known = {key.lower(): key for key in part.__all__}
    if name.lower() not in known:
        raise ValueError(f"{argument} {name!r} is not known; there are {sorted(part.__all__)}.")
    return getattr(part, name if name in part.__all__ else known[name.lower()])


def _loaded(path: str) -> Any:
    model = load(path)
    if isinstance(model, SourceModel):
        return model.adaptable()
    try:
        check_is_fitted(model)
    except NotFittedError:
        return model
    return HypothesisTransfer(FrozenEstimator(model))


def _labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as objects, None where one misses; whole floats, as gaps make of integers, are integers again."""
    numbers = [label for label in labels if isinstance(label, float)]
    if numbers and all(number.is_integer() for number in numbers):
        labels = np.array([int(label) if isinstance(label, float) else label for label in labels], dtype=object)
    return labels
