from benchmark_utils.data import generate
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """Generated from a logistic model; up to 1 000 000 x 100, dense or sparse, well or badly scaled."""

    name = "Simulated"
    parameters = {
        "n_samples, n_features, n_classes, density, condition": [
            (2_000, 50, 2, 1.0, 1.0),
            (20_000, 30, 2, 1.0, 1e4),
            (20_000, 30, 5, 1.0, 1.0),
            (50_000, 1_000, 2, 0.01, 1.0),
            (1_000_000, 100, 2, 1.0, 1.0),
        ]
    }
    test_parameters = {"n_samples, n_features, n_classes, density, condition": [(200, 5, 2, 1.0, 1.0)]}
    requirements = ["numpy", "scipy"]

    def get_data(self):
        X, y = generate(
            self.n_samples, self.n_features, self.n_classes, self.density, self.condition, seed=self.get_seed()
        )
        return {"X": X, "y": y}
