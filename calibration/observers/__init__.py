"""Histograms of activations and the ranges read from them."""
