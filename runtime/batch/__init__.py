"""Batch: many files, each by a run of its own, on this machine or on a Ray cluster; none is done twice."""
