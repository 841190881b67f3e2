"""Report: what `profile` measured, as text, as files and as one page."""
