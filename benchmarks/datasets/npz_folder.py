from benchmark_utils.data import FOLDER_VARIABLE, load_npz, npz_names
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """Every .npz file of the folder that the environment variable LOGREG_BENCHMARK_DATA names."""

    name = "npz"
    parameters = {"which": npz_names() or ["none"]}
    requirements = ["numpy", "scipy"]

    def get_data(self):
        if self.which not in npz_names():
            return {"X": None, "y": None, "reason": f"no file {self.which}.npz: set {FOLDER_VARIABLE} to a folder"}
        X, y = load_npz(self.which)
        return {"X": X, "y": y}
