import numpy as np
from benchopt import BaseDataset
from libsvmdata import fetch_libsvm
from scipy import sparse


class Dataset(BaseDataset):
    """Data sets of the LIBSVM site; needs the network once."""

    name = "libsvm"
    parameters = {"which": ["rcv1.binary", "news20.binary", "real-sim", "covtype.binary"]}
    requirements = ["pip::libsvmdata"]

    def get_data(self):
        try:
            X, y = fetch_libsvm(self.which)
        except Exception as error:  # no network
            return {"X": None, "y": None, "reason": f"cannot be downloaded: {error}"}
        X = sparse.csr_matrix(X) if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
        return {"X": X, "y": np.unique(y, return_inverse=True)[1]}
