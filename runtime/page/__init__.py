"""Page: the HTTP server with the live picture, the numbers, health and metrics."""
