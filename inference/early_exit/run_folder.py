"""The folder of one training of a multi-exit network, as ``inference.training_folder`` lays it out.

``metrics.csv`` holds loss and accuracy of every exit, epoch by epoch, training and validation.
"""

from __future__ import annotations

from conf.inference_schema import TrainNetworkConfig
from inference.training_folder import RunKind

RUNS = RunKind("offramp/early-exit-run", 1, TrainNetworkConfig, "inference.train")
