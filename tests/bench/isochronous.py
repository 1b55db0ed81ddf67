#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An isochronous IN stream of 24.6 MB/s, a packet of 3072 bytes each 125 us, as a camera's.

    RDPUSB_BUILD=build-release tests/bench/isochronous.py [--seconds 20] [--client xfreerdp3]

Every packet carries a counter. Prints figures and judges none."""

import argparse

from isoch import SOURCE, describe_in, run
from paths import CLIENTS

SETTING = 2  # of the gadget

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('--seconds', type=int, default=20)
parser.add_argument('--client', default=CLIENTS[0])
arguments = parser.parse_args()

streams, stats = run(SETTING, [SOURCE], arguments.seconds, arguments.client)
describe_in(streams[SOURCE], stats)
