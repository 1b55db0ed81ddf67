# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit trail of rdpusbd, as its schema promises it."""

import json
import pathlib
import time

import jsonschema

from process import Failure

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'audit.schema.json'
MAX_LINE_BYTES = 8192


def schema():
    """The schema, as a dict."""
    return json.loads(SCHEMA.read_text())


jsonschema.Draft202012Validator.check_schema(schema())
_validator = jsonschema.Draft202012Validator(schema())


def _unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f'a name twice: {names}')
    return dict(pairs)


def parse(line, where='line'):
    """The event of a line (bytes, without its newline). Failure: it is not one that the schema allows."""
    try:
        if len(line) >= MAX_LINE_BYTES:
            raise ValueError(f'{len(line)} bytes')
        event = json.loads(line.decode(), object_pairs_hook=_unique)
    except ValueError as problem:  # of UnicodeDecodeError and JSONDecodeError too
        raise Failure(f'{where}: {problem}: {line[:200]}') from None
    errors = [f'{error.json_path}: {error.message}' for error in _validator.iter_errors(event)]
    if errors:
        raise Failure(f'{where}: {"; ".join(errors)}')
    return event


def read_audit(path):
    """Every event of the file, each checked against the schema."""
    data = pathlib.Path(path).read_bytes()
    if data and not data.endswith(b'\n'):
        raise Failure(f'{path} ends within a line: {data[-200:]}')
    return [parse(line, f'{path}:{number}') for number, line in enumerate(data.split(b'\n')[:-1], 1)]


def wait_audit(path, event, seconds=10, **members):
    """Waits for an event with these members; returns the newest. Lines are written at once, and nothing tells when."""
    deadline = time.monotonic() + seconds
    wanted = {name.replace('_', '-'): value for name, value in members.items()} | {'event': event}
    while True:
        events = read_audit(path) if pathlib.Path(path).exists() else []
        found = [entry for entry in events if wanted.items() <= entry.items()]
        if found:
            return found[-1]
        if time.monotonic() > deadline:
            raise Failure(f'no {wanted} in the audit trail: {events}')
        time.sleep(0.05)
