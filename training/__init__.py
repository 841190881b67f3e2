"""Training: the network (SAPHNet and its family), data, losses and the loop. Run: `edgedeblur train --help`."""
