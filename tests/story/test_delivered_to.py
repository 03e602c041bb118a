# SPDX-License-Identifier: Apache-2.0
"""Delivered-To and X-Original-To behind aliases, lists and .forward: Debian's Postfix and hato with the same files."""
import glob, os, smtplib, subprocess, time
import pytest
from around import *
from postfix import Postfix
from test_local import DELIVERY, local, read, text, users  # noqa: F401

pytestmark = pytest.mark.root

NAMES = ('one', 'chain', 'both', 'list', 'file', 'piped', 'fore', 'twice')


def prepare(folder, ann, bob):
    """aliases: names that lead to ann, to bob, to files and commands; bob forwards to ann."""
    os.makedirs(folder, exist_ok=True)
    with open(f'{folder}/members', 'w') as f:
        f.write(f'{ann.name}\n{bob.name}\n')
    drop = f'{folder}/drop'
    os.makedirs(drop, exist_ok=True)
    os.chmod(drop, 0o1777)
    above = drop
    while above not in ('/', '/dev/shm', '/tmp'):
        os.chmod(above, os.stat(above).st_mode | 0o011)
        above = os.path.dirname(above)
    with open(f'{folder}/aliases', 'w') as f:
        f.write(f'''one: {ann.name}
chain: one
both: {ann.name}, {bob.name}
list: :include:{folder}/members
owner-owned: {bob.name}
owned: {ann.name}
file: {drop}/box/
piped: "|cat >{drop}/piped"
twice: one, chain, {ann.name}
fore: {bob.name}
''')
    bob.write('.forward', f'\\{bob.name}, {ann.name}, {bob.home}/kept/\n')
    return drop


def trace(path):
    """Return-Path, X-Original-To and Delivered-To of a message in a file."""
    lines = read(path).split('\n\n')[0].split('\n')
    return [l for l in lines if l.startswith(('Return-Path:', 'X-Original-To:', 'Delivered-To:'))]


def found(ann, bob, drop):
    """{subject: sorted traces}"""
    out = {}
    places = {'ann': f'{ann.home}/Maildir/new/*', 'bob': f'{bob.home}/Maildir/new/*', 'kept': f'{bob.home}/kept/new/*', 'box': f'{drop}/box/new/*', 'piped': f'{drop}/piped'}
    for place, pattern in places.items():
        for path in glob.glob(pattern):
            subject = next((l[9:] for l in read(path).split('\n') if l.startswith('Subject: ')), '?')
            out.setdefault(subject, []).append((place, *[l.replace(ann.name, 'ANN').replace(bob.name, 'BOB') for l in trace(path)]))
    return {k: sorted(v) for k, v in out.items()}


def play(port, address):
    for name in (*NAMES, 'owned'):
        with smtplib.SMTP(address, port, timeout=30 * SLOW) as s:
            s.sendmail('x@example.org', [f'{name}@example.test'], text(name).replace('\n.\n', '\n'))


@pytest.mark.parametrize('frozen', ['yes', 'no'])
def test_behind_aliases(local, users, folder, frozen):
    results = {}
    for who in ('postfix', 'hato'):
        ann, bob = users('ann'), users('bob')
        drop = prepare(f'{folder}/{who}-files', ann, bob)
        main = (f'alias_maps = hash:{folder}/{who}-files/aliases\nhome_mailbox = Maildir/\nfrozen_delivered_to = {frozen}\n'
                f'allow_mail_to_files = alias, forward, include\nallow_mail_to_commands = alias, forward, include\nmyorigin = example.test\nmyhostname = mail.example.test\n'
                'mydestination = example.test, $myhostname\ndefault_privs = nobody\n')
        if who == 'postfix':
            server = Postfix(f'{folder}/pf', 'pf.test', address='127.0.0.3', port=free_port(), main=main + 'local_recipient_maps =\nvirtual_mailbox_domains =\n', tls=False)
            with open(f'{server.folder}/etc/master.cf', 'a') as f:
                f.write('local unix - n n - - local\n')
            subprocess.run(['/usr/sbin/postalias', '-c', f'{server.folder}/etc', f'hash:{folder}/{who}-files/aliases'], check=True)
            server.start()
            port, address = server.port, '127.0.0.3'
        else:
            server = local(main)
            port, address = server.ports['smtp'], server.address
        try:
            play(port, address)
            count, last = -1, None
            def settled():
                nonlocal last
                now = found(ann, bob, drop)
                done = len(now) == len(NAMES) + 1 and now == last
                last = now
                time.sleep(1)
                return done
            wait_until(settled, 30, lambda: last)
            results[who] = last
        finally:
            server.stop()
    # one difference: a list with an owner keeps the address that was written to in X-Original-To
    owned = results['postfix']['owned']
    assert len(owned) == 1 and 'X-Original-To: ANN@example.test' in owned[0]
    results['postfix']['owned'] = [tuple(l.replace('X-Original-To: ANN', 'X-Original-To: owned') for l in owned[0])]
    assert results['hato'] == results['postfix'], '\n'.join(f'{k}\n  {results["postfix"].get(k)}\n  {results["hato"].get(k)}' for k in sorted(results['postfix'])
                                                            if results['postfix'].get(k) != results['hato'].get(k))
