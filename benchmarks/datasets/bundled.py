from benchmark_utils.data import bundled
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """Data sets that scikit-learn ships: two classes on mixed scales, and ten classes nearly separable."""

    name = "bundled"
    parameters = {"which": ["breast_cancer", "digits"]}
    test_config = {"which": "breast_cancer"}
    requirements = ["scikit-learn"]

    def get_data(self):
        X, y = bundled(self.which)
        return {"X": X, "y": y}
