"""An installed wheel trains, predicts and says where it comes from. Run outside the sources by the nightly script."""
import sys

import numpy as np

import espalier

run = espalier.train("mnist" if espalier.doctor(json=True)["datasets"][0]["present"] else "synthetic", layers=[784, 100, 10],
                     epochs=5, train_samples=20000, test_samples=2000, seed=1, backend="cpu")
accuracy = list(run.history["test_accuracy"])[-1]
assert accuracy > 0.5, accuracy
assert run.predict(np.zeros((3, 784), np.uint8)).shape == (3,)
assert "site-packages" in espalier.__file__
print(f"Python {sys.version_info[0]}.{sys.version_info[1]}, espalier {espalier.__version__}: test accuracy {accuracy:.3f}")
