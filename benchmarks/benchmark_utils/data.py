"""Where data come from: generated, bundled with scikit-learn, or a folder of .npz files.

Everything returns (X, y): X a float64 array or CSR matrix, y class indices 0..K-1.  Downloads live in `datasets/`.
"""

import os
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits

from .problem import moments

# The folder of .npz files; see `load_npz` for the format.
FOLDER_VARIABLE = "LOGREG_BENCHMARK_DATA"

BUNDLED = {"breast_cancer": load_breast_cancer, "digits": load_digits}


def bundled(name):
    """A data set that scikit-learn ships, raw."""
    return BUNDLED[name](return_X_y=True)


def generate(n_samples, n_features, n_classes=2, density=1.0, condition=1.0, seed=0):
    """Gaussian features, labels drawn from a logistic model whose classes overlap.

    Feature scales spread over a factor `condition`; below a density of 1 the data are CSR.
    """
    rng = np.random.default_rng(seed)
    scale = condition ** np.linspace(0.0, 1.0, n_features)
    if density < 1.0:
        # The same number of entries a row, but for those that fall on the same column and are added up.
        per_row = max(1, round(density * n_features))
        indices = rng.integers(n_features, size=n_samples * per_row, dtype=np.int32)
        indptr = np.arange(n_samples + 1, dtype=np.int32) * per_row
        X = sparse.csr_matrix((rng.standard_normal(len(indices)), indices, indptr), shape=(n_samples, n_features))
        X.sum_duplicates()
        X.data *= scale[X.indices]
    else:
        X = rng.standard_normal((n_samples, n_features))
        X *= scale
    W = rng.standard_normal((n_features, 1 if n_classes == 2 else n_classes))
    W *= 2.0 / (np.sqrt(n_features * density) * scale[:, None])
    raw = X @ W
    if n_classes == 2:
        return X, (raw[:, 0] + rng.logistic(size=n_samples) > 0).astype(np.int64)
    return X, (raw + rng.gumbel(size=raw.shape)).argmax(axis=1)


def folder():
    """The folder of .npz files, or None where the environment names none."""
    path = os.environ.get(FOLDER_VARIABLE)
    return Path(path) if path and Path(path).is_dir() else None


def npz_names():
    """The data sets in the folder, small ones first."""
    if folder() is None:
        return []
    return [path.stem for path in sorted(folder().glob("*.npz"), key=lambda path: path.stat().st_size)]


def load_npz(name):
    """A data set of the folder: dense `X`, or CSR as `indices`, `indptr`, `shape` and `data` (or `all_ones`); `y`.

    Where there is an entry `tfidf`, the data are word counts and come back as TF-IDF.
    """
    with np.load(folder() / f"{name}.npz", allow_pickle=False) as file:
        y = np.unique(file["y"], return_inverse=True)[1]
        if "X" in file.files:
            return file["X"].astype(np.float64), y
        indices = file["indices"].astype(np.int32)
        data = np.ones(len(indices)) if bool(file["all_ones"]) else file["data"].astype(np.float64)
        shape = tuple(int(size) for size in file["shape"])
        X = sparse.csr_matrix((data, indices, file["indptr"].astype(np.int32)), shape=shape)
        return (tfidf(X) if "tfidf" in file.files else X), y


def tfidf(counts):
    """TF-IDF of word counts: 1 + log tf, smooth idf, rows of norm 1."""
    X = counts.copy()
    n_docs_with_word = np.bincount(X.indices, minlength=X.shape[1])
    X.data = 1.0 + np.log(X.data)
    X.data *= (np.log((1.0 + X.shape[0]) / (1.0 + n_docs_with_word)) + 1.0)[X.indices]
    norm = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    norm[norm == 0] = 1.0
    X.data /= np.repeat(norm, np.diff(X.indptr))
    return X


def load(name):
    """A data set by name: bundled, `generated:N:D[:K[:DENSITY]]`, or a file of the folder."""
    if name in BUNDLED:
        return bundled(name)
    if name.startswith("generated:"):
        fields = name.split(":")[1:]
        n, d, K, density = fields + ["2", "1"][len(fields) - 2 :]
        return generate(int(float(n)), int(d), int(K), float(density))
    if name in npz_names():
        return load_npz(name)
    raise SystemExit(f"No data set {name!r}. Bundled: {sorted(BUNDLED)}. In ${FOLDER_VARIABLE}: {npz_names()}.")


def standardise(X):
    """Columns of variance 1; dense columns also of mean 0."""
    mean, sd = moments(X)
    if sparse.issparse(X):
        return sparse.csr_matrix(X @ sparse.diags(1.0 / sd))
    return (X - mean) / sd
