"""Engines: ONNX → TensorRT or TensorRT-RTX plan with a sidecar. Run: `edgedeblur build --help`."""
