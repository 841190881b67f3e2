"""Graph passes: ONNX in, ONNX out, each one change a target needs. No torch here: engines run them on the device."""
