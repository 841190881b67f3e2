"""Calibration: activation ranges from frames → explicit Q/DQ INT8 graph. Run: `edgedeblur calibrate --help`."""
