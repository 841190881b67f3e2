"""Profiles: runs that are made to be measured, what is said of them, and how two of them compare."""
