# SPDX-License-Identifier: Apache-2.0
"""What an account and its domain are said to use is what is there, whatever was done and however it ended; and every way in is
refused beyond the limit, whole. With Python's imaplib and poplib."""
import contextlib, imaplib, json, poplib, re, threading
import pytest
from around import *
from hato import running

ANN, BOB = 'ann@count.test', 'bob@count.test'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('quota'), ANN, BOB, main='imapd_tls_security_level = none\npop3d_tls_security_level = none\n') as server:
        server.hato('domain', 'quota', 'count.test', '100M', '--messages', '100000')
        yield server


def imap(server, user=ANN, select=None):
    i = imaplib.IMAP4(server.address, server.ports['imap'], timeout=60 * SLOW)
    i.login(user, 'secret')
    if select:
        assert i.select(select)[0] == 'OK'
    return i


def letter(n, size=900):
    return f'Subject: letter {n}\r\n\r\n{"x" * size}\r\n'.encode()


def truth(server, *users):
    """(messages, bytes) of all mailboxes, looked at one by one."""
    count = size = 0
    for user in users:
        i = imap(server, user)
        for line in i.list()[1]:
            if i.select(re.search(rb'"/" (.*)', line)[1].decode(), readonly=True)[0] == 'OK' and int(i.untagged_responses['EXISTS'][-1]):
                sizes = re.findall(rb'RFC822.SIZE (\d+)', b' '.join(i.fetch('1:*', '(RFC822.SIZE)')[1]))
                count, size = count + len(sizes), size + sum(map(int, sizes))
        i.logout()
    return count, size


def said(server, user):
    stats = json.loads(server.hato('account', 'stats', user, '--json').stdout)[0]
    return stats['messages'], stats['bytes']


def exact(server):
    both = truth(server, ANN, BOB)
    domain = json.loads(server.hato('domain', 'quota', 'count.test', '--json').stdout)
    assert said(server, ANN) == truth(server, ANN) and (domain['messages'], domain['bytes']) == both
    return both


def multiappend(i, mailbox, letters):
    pieces = b''.join(b' {%d+}\r\n' % len(l) + l for l in letters)
    tag = i._new_tag()
    i.send(tag + b' APPEND ' + mailbox.encode() + pieces + b'\r\n')
    return i._command_complete('APPEND', tag)


def complete(call):
    try:
        return call()
    except imaplib.IMAP4.error as e:
        return 'NO', [str(e).encode()]


def test_counters_after_everything(server):
    i = imap(server)
    assert multiappend(i, 'INBOX', [letter(n) for n in range(30)])[0] == 'OK'
    assert exact(server)[0] == 30
    i.select()
    i.create('Box/Deep')
    assert i.copy('1:10', 'Box/Deep')[0] == 'OK' and exact(server)[0] == 40
    assert i._simple_command('MOVE', '11:15', 'Box/Deep')[0] == 'OK' and exact(server)[0] == 40
    i.store('1:5', '+FLAGS', r'(\Deleted)')
    i.expunge()
    assert exact(server)[0] == 35
    assert i.rename('Box', 'Chest')[0] == 'OK' and exact(server)[0] == 35
    assert i._simple_command('RENAME', 'INBOX', 'Old')[0] == 'OK' and exact(server)[0] == 35
    assert i.delete('Chest/Deep')[0] == 'OK' and exact(server)[0] == 20
    server.hato('undelete', ANN)
    assert exact(server)[0] == 40
    server.send('x@else.test', [ANN, BOB], message('x@else.test', ANN, 'one body, two mailboxes'))
    assert exact(server)[0] == 42
    p = poplib.POP3(server.address, server.ports['pop3'], timeout=60 * SLOW)
    p.user(BOB)
    p.pass_('secret')
    p.dele(1)
    p.quit()
    assert exact(server)[0] == 41
    assert server.hato('verify').returncode == 0


def test_counters_after_kill(server):
    over = threading.Event()

    def busy(k):
        while not over.is_set():
            with contextlib.suppress(Exception):
                i = imap(server, select='INBOX')
                i.create(f'Busy{k}')
                for n in range(100000):  # a log-in that core's successor answers is not cut by the last kill
                    if over.is_set():
                        return
                    multiappend(i, 'INBOX', [letter(n) for n in range(3)])
                    i.noop()
                    i.copy('1:*', f'Busy{k}')
                    i._simple_command('MOVE', '1:2', f'Busy{k}')
                    i.store('1', '+FLAGS', r'(\Deleted)')
                    i.expunge()
                    if n % 3 == 2:
                        i.delete(f'Busy{k}')
                        i.create(f'Busy{k}')

    threads = [threading.Thread(target=busy, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for _ in range(3):
        before = said(server, ANN)
        wait_until(lambda: said(server, ANN) != before, 30, 'something to be done')
        server.kill('core')
        wait_until(lambda: server.hato('account', 'stats', ANN, '--json', check=False).returncode == 0, 30, 'core to be back')
    over.set()
    server.kill('core')
    for t in threads:
        t.join()
    wait_until(lambda: complete(lambda: imap(server).noop())[0] == 'OK' if server.pids('core') else False, 30, 'core to be back')
    exact(server)
    assert server.hato('verify').returncode == 0


def test_every_way_in_is_refused(server):
    eve = server.account('eve@limit.test')
    i = imap(server, eve)
    multiappend(i, 'INBOX', [letter(n) for n in range(4)])
    server.hato('account', 'quota', eve, '20000', '--messages', '5')
    i.select()
    i.create('Box')
    for refused in (lambda: i.copy('1:2', 'Box'), lambda: multiappend(i, 'Box', [letter(0), letter(1)]),
                    lambda: i.append('INBOX', None, None, letter(0, 19000))):
        answer = complete(refused)
        assert answer[0] == 'NO' and b'OVERQUOTA' in answer[1][0], answer
        assert said(server, eve)[0] == 4
    assert i._simple_command('MOVE', '1:2', 'Box')[0] == 'OK'     # nothing is added
    assert i.copy('1', 'Box')[0] == 'OK' and said(server, eve)[0] == 5

    def replace(text):
        tag = i._new_tag()
        i.send(tag + b' REPLACE 1 INBOX {%d+}\r\n' % len(text) + text + b'\r\n')
        return i._command_complete('REPLACE', tag)

    assert complete(lambda: replace(letter(9)))[0] == 'OK' and said(server, eve)[0] == 5
    answer = complete(lambda: replace(letter(9, 19000)))
    assert answer[0] == 'NO' and b'OVERQUOTA' in answer[1][0], answer
    assert said(server, eve)[0] == 5 and server.hato('verify').returncode == 0
