"""`python -m cluster_simulator`; see `command`."""

import sys

from cluster_simulator.command import main

sys.exit(main())
