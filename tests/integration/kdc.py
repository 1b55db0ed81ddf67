# SPDX-License-Identifier: LGPL-2.1-or-later
"""A realm of Kerberos on the loopback interface: MIT's KDC, with everything that it keeps in a folder."""

import os
import pathlib
import socket
import subprocess

from process import Failure, Process

REALM = 'RDPUSB.TEST'


def _free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Kdc(Process):
    """Serves REALM, of which the computer localhost is one."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / 'kdc'
        self.folder.mkdir()
        address = f'127.0.0.1:{_free_port()}'
        (self.folder / 'krb5.conf').write_text(f"""
[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    {REALM} = {{
        kdc = {address}
    }}
[domain_realm]
    localhost = {REALM}
""")
        (self.folder / 'kdc.conf').write_text(f"""
[kdcdefaults]
    kdc_listen = {address}
    kdc_tcp_listen = {address}
[realms]
    {REALM} = {{
        database_name = {self.folder}/principal
        key_stash_file = {self.folder}/stash
        acl_file = {self.folder}/kadm5.acl
    }}
[logging]
    kdc = STDERR
""")
        self.environment = {'KRB5_CONFIG': str(self.folder / 'krb5.conf'), 'KRB5CCNAME': 'MEMORY:'}
        self._env = os.environ | self.environment | {'KRB5_KDC_PROFILE': str(self.folder / 'kdc.conf')}
        self._run('kdb5_util', '-r', REALM, 'create', '-s', '-P', 'master')
        super().__init__('krb5kdc', ['krb5kdc', '-n', '-r', REALM], env=self._env)
        self.log.wait('commencing operation', 20)

    def _run(self, *command):
        # They are in sbin, which is in the path of root alone.
        env = self._env | {'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
        result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
        if result.returncode != 0:
            raise Failure(f'{command}: {result.stdout}{result.stderr}')

    def _admin(self, query):
        self._run('kadmin.local', '-r', REALM, '-q', query)

    def add_user(self, name, password):
        self._admin(f'addprinc -pw "{password}" {name}')

    def add_service(self, name):
        self._admin(f'addprinc -randkey {name}')

    def write_keytab(self, path, *names):
        """New keys, which end the old ones."""
        for name in names:
            self._admin(f'ktadd -k {path} {name}')
        return path
