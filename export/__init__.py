"""Export: checkpoint → ONNX, proved equal to PyTorch. Run: `edgedeblur export --help`."""
