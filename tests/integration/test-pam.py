#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusb-pam with real modules of PAM, in a service of the test's own."""

import grp
import os
import pwd
import re
import shlex
import subprocess
import time

from daemon import find_program
from tap import equal, expect, main, scenario

ALLOWED, DENIED, BROKEN = 0, 1, 2


class Service:
    """A folder with a PAM service, which rdpusb-pam is asked about."""

    def __init__(self, test, *lines):
        self.folder = test.folder
        (self.folder / 'rdpusb').write_text('\n'.join(lines) + '\n')

    def ask(self, user='alice', address='192.0.2.7', password='correct horse'):
        return self.send(b''.join(text.encode() + b'\0' for text in (user, address, password)))

    def send(self, request):
        result = subprocess.run([find_program('rdpusb-pam'), '--confdir', self.folder], input=request,
                                capture_output=True, timeout=20)
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def refuses(self, status, text, **request):
        answer = self.ask(**request)
        equal(answer[:2], (status, ''), f'answer ({answer[2]!r})')
        expect(re.fullmatch(f'({text})\n', answer[2]), f'{answer[2]!r} does not say {text!r}')


def script(test, name, text):
    path = test.folder / name
    path.write_text('#!/bin/sh\n' + text)
    path.chmod(0o700)
    return path


def password_check(test):
    """Lines of a service: alice and jörg have a password, and the client's address counts."""
    path = script(test, 'check', 'IFS= read -r password\n'
                                 'case "$PAM_USER $PAM_RHOST $PAM_SERVICE $PAM_TYPE $password" in\n'
                                 '"alice 192.0.2.7 rdpusb auth correct horse") exit 0;;\n'
                                 '"jörg 2001:db8::7 rdpusb auth pässwörd") exit 0;;\n'
                                 'esac\nexit 1\n')
    # For pam_exec, a script that fails is an error of the system.
    return (f'auth [success=1 default=ignore] pam_exec.so quiet expose_authtok {path}\n'
            'auth requisite pam_deny.so\nauth required pam_permit.so')


@scenario('the right password is right, and everything else wrong')
def passwords(test):
    service = Service(test, password_check(test), 'account required pam_permit.so')
    equal(service.ask(), (ALLOWED, 'alice', ''), 'answer')
    equal(service.ask('jörg', '2001:db8::7', 'pässwörd'), (ALLOWED, 'jörg', ''), 'answer')
    for request in ({'password': 'correct horses'}, {'password': ''}, {'user': 'bob'}, {'user': 'ALICE'},
                    {'address': '192.0.2.8'}):
        service.refuses(DENIED, 'authenticate: .+', **request)


@scenario('an account may be refused although the password is right')
def account(test):
    service = Service(test, password_check(test), 'account required pam_deny.so')
    status, output, errors = service.ask()
    expect(status in (DENIED, BROKEN) and output == '' and errors.startswith('account: '), f'{status} {errors!r}')
    allowed = test.folder / 'allowed'
    allowed.write_text('alice\n')
    allowed.chmod(0o600)
    line = f'account required pam_listfile.so onerr=fail item=user sense=allow file={allowed}'
    service = Service(test, password_check(test), line)
    equal(service.ask(), (ALLOWED, 'alice', ''), 'answer')
    service.refuses(DENIED, 'account: .+', user='jörg', address='2001:db8::7', password='pässwörd')


@scenario('what PAM decides is told from what it cannot decide')
def decisions(test):
    for result, status in (('auth_err', DENIED), ('user_unknown', DENIED), ('perm_denied', DENIED), ('maxtries', DENIED),
                           ('authinfo_unavail', BROKEN), ('service_err', BROKEN), ('system_err', BROKEN)):
        service = Service(test, f'auth requisite pam_debug.so auth={result}', 'account required pam_permit.so')
        service.refuses(status, 'authenticate: .+')
    for result, status in (('acct_expired', DENIED), ('new_authtok_reqd', DENIED), ('system_err', BROKEN)):
        service = Service(test, 'auth required pam_permit.so', f'account requisite pam_debug.so acct={result}')
        service.refuses(status, 'account: .+')


@scenario('the name that PAM knows the user by is told')
def canonical(test):
    service = Service(test, 'auth required pam_ftp.so', 'account required pam_permit.so')
    equal(service.ask('anonymous', password='a@b'), (ALLOWED, 'ftp', ''), 'answer')


@scenario('a name that would be read as the name of a group as well is nobody\'s')
def newline(test):
    service = Service(test, 'auth required pam_permit.so', 'account required pam_permit.so')
    for user in ('alice\nadmins', '\nadmins', 'alice\n', 'alice\tadmins', 'alice\x7f'):
        service.refuses(BROKEN, 'PAM let a user in whose name has control characters', user=user)


@scenario('the groups that the system knows of a user are told')
def groups(test):
    service = Service(test, 'auth required pam_permit.so', 'account required pam_permit.so')
    for user in ('root', 'nobody'):
        known = [grp.getgrgid(group).gr_name for group in os.getgrouplist(user, pwd.getpwnam(user).pw_gid)]
        expect(known, f'{user} is in no group here')
        equal(service.ask(user), (ALLOWED, '\n'.join([user, *known]), ''), 'answer')
    equal(service.ask('nobody of this name'), (ALLOWED, 'nobody of this name', ''), 'answer')


@scenario('without the file of the service nobody is in')
def no_service(test):
    service = Service(test)
    (test.folder / 'rdpusb').rename(test.folder / 'other')
    (test.folder / 'other').write_text('auth required pam_permit.so\naccount required pam_permit.so\n')
    service.refuses(BROKEN, f"the service's file rdpusb is missing, .+ example, in: {re.escape(str(test.folder))}")


@scenario('a service that asks nothing, or for a module that is not there, lets nobody in')
def broken_service(test):
    for lines in ([], ['auth required pam_permit.so'], ['account required pam_permit.so'],
                  ['auth required pam_nonexistent.so', 'account required pam_permit.so']):
        status, output, errors = Service(test, *lines).ask()
        expect(status in (DENIED, BROKEN) and output == '' and errors, f'{lines}: {status} {output!r} {errors!r}')


@scenario('modules do not delay the answer')
def no_delay(test):
    service = Service(test, 'auth optional pam_faildelay.so delay=10000000', 'auth required pam_deny.so',
                      'account required pam_permit.so')
    start = time.monotonic()
    equal(service.ask()[:2], (DENIED, ''), 'answer')
    expect(time.monotonic() - start < 5, 'it took as long as PAM would delay it')


@scenario('a request that is none gets no answer')
def requests(test):
    service = Service(test, 'auth required pam_permit.so', 'account required pam_permit.so')
    equal(service.ask('u' * 256, 'a' * 128, 'p' * 1024), (ALLOWED, 'u' * 256, ''), 'answer')
    for request in (b'', b'alice', b'alice\0', b'alice\0addr\0', b'alice\0addr\0password', b'\0addr\0password\0',
                    b'alice\0addr\0password\0more', b'alice\0addr\0password\0\0', b'u' * 257 + b'\0a\0p\0',
                    b'u\0' + b'a' * 129 + b'\0p\0', b'u\0a\0' + b'p' * 1025 + b'\0', b'u\0a\0' + b'p' * 100000):
        equal(service.send(request), (BROKEN, '', 'the request on standard input is none\n'), f'answer to {request[:30]}')
    result = subprocess.run([find_program('rdpusb-pam'), 'alice', 'password'], capture_output=True)
    equal((result.returncode, result.stdout), (BROKEN, b''), 'answer to arguments')


@scenario('a password leaves no core behind, nor any process')
def modest(test):
    path = script(test, 'look', f'ulimit -c > {shlex.quote(str(test.folder / "core"))}\n')
    service = Service(test, f'auth required pam_exec.so quiet {path}', 'account required pam_permit.so')
    equal(service.ask(), (ALLOWED, 'alice', ''), 'answer')
    equal((test.folder / 'core').read_text(), '0\n', 'limit of core files')


main()
