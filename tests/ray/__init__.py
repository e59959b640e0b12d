"""What Ray reads when it is loaded: it reports to nobody, and this machine's address is the
loopback's."""

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # what keeps it to the loopback there
