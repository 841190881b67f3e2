"""The report of a calibration as JSON and as one page."""
