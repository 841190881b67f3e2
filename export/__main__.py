"""`python -m export`: the verbs of this stage."""

import sys

from edgedeblur import main

sys.exit(main(package="export"))
