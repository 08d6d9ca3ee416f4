import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import fetch_openml


class Dataset(BaseDataset):
    """Numeric data sets of openml.org; needs the network once."""

    name = "openml"
    parameters = {"which": ["MagicTelescope", "jannis", "covertype", "mnist_784"]}
    requirements = ["scikit-learn", "pandas"]

    def get_data(self):
        try:
            X, y = fetch_openml(self.which, version=1, return_X_y=True, as_frame=True)
        except Exception as error:  # no network, or no such data set any more
            return {"X": None, "y": None, "reason": f"cannot be downloaded: {error}"}
        numbers = X.select_dtypes("number").to_numpy(dtype=np.float64)
        return {"X": np.nan_to_num(numbers), "y": np.unique(np.asarray(y, dtype=str), return_inverse=True)[1]}
