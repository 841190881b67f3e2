"""Which frames to calibrate and to measure on."""
