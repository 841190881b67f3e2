"""What a model is worth: metrics, baselines and reports on whole frames."""
