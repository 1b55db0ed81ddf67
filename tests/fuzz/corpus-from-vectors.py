#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write the seeds of fuzz-wire: tests/vectors/*.hex to tests/fuzz/corpus/wire. To be run, and its
result committed, when a vector was added. Other files of the corpus are left alone."""

import pathlib

here = pathlib.Path(__file__).parent
corpus = here / "corpus" / "wire"
corpus.mkdir(parents=True, exist_ok=True)

for vector in sorted((here.parent / "vectors").glob("*.hex")):
    lines = vector.read_text().splitlines()
    message = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
    sender = b"\x01" if "# from: client" in lines else b"\x00"
    (corpus / vector.stem).write_bytes(sender + message)
