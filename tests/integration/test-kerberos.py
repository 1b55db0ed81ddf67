#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NLA with Kerberos: a realm of the test's own, and a stock client that offers Kerberos as mstsc does."""

import re
import signal

import rdp
from daemon import BUILD, PASSWORD, USER, Daemon, write_rules
from kdc import REALM, Kdc
from process import Failure
from tap import expect, main, scenario

SERVICE = 'TERMSRV/localhost'
KERBEROS_ONLY = '/auth-pkg-list:!ntlm'


def preloaded():
    found = list(BUILD.rglob('libno-user-to-user.so'))
    if len(found) != 1:
        raise Failure(f'{BUILD} has {len(found)} libno-user-to-user.so')
    return found[0]


class Bench:
    """A realm, and rdpusbd in it with NLA alone."""

    def __init__(self, test):
        self.test = test
        self.kdc = test.keep(Kdc(test.folder))
        for service in (SERVICE, 'host/localhost'):
            self.kdc.add_service(service)
        self.keytab = test.folder / 'keytab'
        self.kdc.write_keytab(self.keytab, 'host/localhost', SERVICE)
        password = test.folder / 'password'
        password.write_text(PASSWORD + '\n')
        password.chmod(0o600)
        self.daemon = test.keep(Daemon(test.folder, arguments=[
            '--user', USER, '--password-file', password, '--kerberos-keytab', self.keytab, '--rules-dir',
            write_rules(test.folder, 'allow'), '--chardev', f'unix:{test.folder}/vm', '--listen', '127.0.0.1:0'])).start()

    def log_in(self, expected, *options, host='localhost', user=USER, password=PASSWORD):
        """A client tries until the broker says so, and leaves. Returns what the broker said of it."""
        mark = self.daemon.errors.mark()
        client = self.test.keep(rdp.Client(
            self.test.folder, 'xfreerdp3', self.daemon.port, host=host, user=user, password=password,
            options=[f'/d:{REALM}', *options], environment=self.kdc.environment | {'LD_PRELOAD': str(preloaded())}))
        self.daemon.errors.wait(expected, 20, mark)
        client.close()
        self.daemon.errors.wait(ENDED, 10, mark)
        return self.daemon.errors.text(mark)

    def tickets(self, user):
        """How many for the service the KDC gave this user."""
        return len(re.findall(rf'TGS_REQ .*ISSUE: .* {user}@{REALM} for {SERVICE}@', self.kdc.log.text()))

    def reload(self, expected):
        mark = self.daemon.errors.mark()
        self.daemon.signal(signal.SIGHUP)
        self.daemon.errors.wait(expected, 10, mark)


ENDED = r'connection from \S+ ended'
# What NLA lets through without NTLM's proof is a password for the broker to check.
ACCEPTED = fr'login of user "{USER}" from \S+ accepted \(users-file\)'
ACCEPTED_BY_NTLM = fr'login of user "{USER}" from \S+ accepted \(ntlm\)'


def refused(user):
    return fr'login of user "{REALM}\\+{user}" from \S+ refused: wrong user or password'


@scenario('a client logs in by Kerberos alone, or by NTLM where it knows no name of the server')
def kerberos(test):
    bench = Bench(test)
    bench.kdc.add_user(USER, PASSWORD)
    bench.log_in(ACCEPTED, KERBEROS_ONLY)
    expect(bench.tickets(USER) == 1, 'the KDC gave no ticket')
    bench.log_in(ACCEPTED_BY_NTLM, host='127.0.0.1')


@scenario('a ticket alone lets nobody in')
def claims(test):
    bench = Bench(test)
    for user in (USER, 'mallory'):  # for whom the KDC has another password than the daemon, or the daemon none
        bench.kdc.add_user(user, 'of the realm')
        bench.log_in(refused(user), KERBEROS_ONLY, user=user, password='of the realm')
        expect(bench.tickets(user) > 0, 'the KDC gave no ticket')


@scenario('a new keytab is read with the others, a bad one is not taken')
def new_keytab(test):
    bench = Bench(test)
    bench.kdc.add_user(USER, PASSWORD)
    bench.keytab.unlink()
    bench.kdc.write_keytab(bench.keytab, 'host/localhost')
    bench.reload(r'keytab not reloaded, the old ones stay: \S+: has no key of a principal TERMSRV/HOST')
    bench.log_in(ACCEPTED, KERBEROS_ONLY)
    bench.kdc.write_keytab(bench.keytab, SERVICE)
    said = bench.log_in(ENDED, KERBEROS_ONLY)
    expect('login of user' not in said, 'a ticket for a key that the daemon does not know yet was taken')
    bench.reload(r'reloaded')
    bench.log_in(ACCEPTED, KERBEROS_ONLY)


main()
