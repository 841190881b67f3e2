"""Which layer gets which precision: rule, plan file, search."""
