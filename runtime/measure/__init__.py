"""Measure: what is known of a run, frame by frame and in sum."""
