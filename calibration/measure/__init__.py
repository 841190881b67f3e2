"""What a graph loses against FP32 and sharp frames."""
