"""Records training runs as trajectories that ``perpend audit`` judges. The README has the lines for each framework."""

from perpend_recorder.arrays import RowGradients
from perpend_recorder.recorder import AliasedSnapshot, Recorder, RecorderWarning, Step
from perpend_recorder.steps import recover

__all__ = ["AliasedSnapshot", "Recorder", "RecorderWarning", "RowGradients", "Step", "recover"]
