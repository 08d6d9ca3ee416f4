import numpy as np
from benchopt import BaseDataset
from scipy import sparse
from sklearn.datasets import fetch_20newsgroups_vectorized


class Dataset(BaseDataset):
    """TF-IDF of 20 newsgroups, all classes or the first two; needs the network once."""

    name = "newsgroups"
    parameters = {"n_classes": [2, 20]}
    requirements = ["scikit-learn"]

    def get_data(self):
        try:
            X, y = fetch_20newsgroups_vectorized(subset="train", return_X_y=True)
        except Exception as error:  # no network
            return {"X": None, "y": None, "reason": f"cannot be downloaded: {error}"}
        keep = np.flatnonzero(y < self.n_classes)
        return {"X": sparse.csr_matrix(X, dtype=np.float64)[keep], "y": y[keep]}
