"""Live: what keeps cameras running for months: lost sources, several streams, what is known of each while it runs."""
