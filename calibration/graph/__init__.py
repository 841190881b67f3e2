"""The graph passes of calibration: layers, Q/DQ, bias correction, FP16."""
