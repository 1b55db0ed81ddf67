# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of the device table with the kernel's own gadgets."""

from bench import ATTACHED
from clientvm import Gadget
from table import row
from tap import equal, expect

DISK_MIB = 8


@row('mass storage, ext4', by='f_mass_storage', modules='ext4', fast=True, seconds=120,
     device=Gadget('1209:0001', ('mass_storage.0', {'lun.0/removable': 1, 'lun.0/file': '/run/disk'}),
                   modules='usb_f_mass_storage', prepare=f'head -c {DISK_MIB}m /dev/urandom >/run/disk'))
def mass_storage(setup):
    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    _equal_disks(setup, disk, 'as it came')
    setup.guest.check(f'head -c {DISK_MIB}m /dev/urandom | dd of={disk} bs=64k iflag=fullblock conv=fsync', 60)
    _equal_disks(setup, disk, 'after writing')

    setup.guest.check(f'/bin/mke2fs -q -t ext4 {disk} && mkdir -p /mnt && mount {disk} /mnt')
    writing = setup.guest.begin(
        'n=0; while head -c 100000 /dev/urandom >/tmp/piece && dd if=/tmp/piece of=/mnt/$n conv=fsync 2>/dev/null; do '
        'sha256sum </tmp/piece >/tmp/sum.$n; echo -n .; n=$((n + 1)); done', 60)
    equal(writing.read(5, 30), b'.....', 'files that are safely on the disk')  # and the next is being written
    setup.unplug()
    written = 5 + writing.wait()[1].count('.')
    setup.guest.check('umount -l /mnt')

    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    status, output = setup.guest.run(f'/bin/e2fsck -p {disk}')
    expect(status in (0, 1), f'e2fsck -p ended with {status}: {output}')  # 1: the journal was replayed
    setup.guest.check(f'/bin/e2fsck -fn {disk} && mount {disk} /mnt')
    output = setup.guest.check(f'n=0; while [ $n -lt {written} ]; do sha256sum </mnt/$n | cmp - /tmp/sum.$n || exit 1; '
                               'n=$((n + 1)); done; umount /mnt; rm -f /tmp/sum.* /tmp/piece; echo $n')
    equal(int(output), written, 'files of which every byte survived')


def _equal_disks(setup, disk, when):
    there = setup.guest.check(f'echo 3 >/proc/sys/vm/drop_caches; sha256sum <{disk}', 60)
    here = setup.machine.check('sha256sum </run/disk', 60)
    equal(there, here, f'checksum of the disk {when}')
