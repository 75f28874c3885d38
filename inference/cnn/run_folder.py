"""The folder of one training of an image classifier, as ``inference.training_folder`` lays it out.

``metrics.csv`` holds step size, loss and accuracy, epoch by epoch, of training (on pictures as they were changed, while the
network learned) and of validation.
"""

from __future__ import annotations

from conf.cnn_schema import TrainCnnConfig
from inference.training_folder import RunKind

RUNS = RunKind("offramp/cnn-run", 1, TrainCnnConfig, "inference.train_cnn")
