"""Sessions: what runs a network on frames."""
