#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A headset's streams, 48 kHz stereo out and in at the same time, to a client whose network is uneven: each piece of data
is delayed by a random time, 0 to 5 ms.

    RDPUSB_BUILD=build-release tests/bench/audio.py [--seconds 600] [--jitter-ms 5] [--client xfreerdp3]

Every packet carries a counter. Prints figures and judges none."""

import argparse

from isoch import SINK, SOURCE, describe_in, describe_out, run
from paths import CLIENTS

SETTING = 1  # of the gadget: 192 bytes each millisecond in both directions

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('--seconds', type=int, default=600)
parser.add_argument('--jitter-ms', type=float, default=5)
parser.add_argument('--client', default=CLIENTS[0])
arguments = parser.parse_args()

streams, stats = run(SETTING, [SOURCE, SINK], arguments.seconds, arguments.client, arguments.jitter_ms)
describe_in(streams[SOURCE], stats)
describe_out(streams[SINK], stats)
