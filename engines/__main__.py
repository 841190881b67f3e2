"""`python -m engines`: the verbs of this stage."""

import sys

from edgedeblur import main

sys.exit(main(package="engines"))
