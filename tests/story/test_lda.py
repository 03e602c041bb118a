# SPDX-License-Identifier: Apache-2.0
"""dovecot-lda and deliver: mail that programs bring for an account."""
import os, re, subprocess
import pytest
from around import *
from unixuser import UnixUser

pytestmark = pytest.mark.root
ANN = 'ann@example.test'
LETTER = 'From: else@other.test\nSubject: {}\n\nHello.\n.\nAfter the dot.\n'


@pytest.fixture
def user(folder):
    u = UnixUser(folder)
    yield u
    u.gone()


@pytest.fixture
def carrier(folder):
    u = UnixUser(folder, 'carrier')
    yield u
    u.gone()


@pytest.fixture
def server(hosts, folder, carrier):
    h = hosts(main='compatibility_level = 3.11\nmydestination = example.test\nmyorigin = example.test\nalias_maps =\nlocal_recipient_maps =\n'
                   'relay_domains = lists.test\ntransport_maps = inline:{lists.test=lda:}\nlda_destination_recipient_limit = 1\n'
                   'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n'
                   f'authorized_deliver_users = root {carrier.name}\n', start=False)
    h.account(ANN)
    return h


def lda(h, *words, text=LETTER.format('one'), name='dovecot-lda', user=None):
    return subprocess.run([os.path.dirname(HATO) + '/' + name, '-c', h.folder, *words], input=text, capture_output=True, text=True,
                          user=user, timeout=60 * SLOW, env=h.env)


def start(h, folder, more=''):
    for path in (h.folder, h.data):  # Unix users get as far as the sockets
        if os.path.isdir(path):
            os.chmod(path, os.stat(path).st_mode | 0o011)
    h.configure(master=f'{h.address}:{h.ports["smtp"]} inet n - n - - smtpd\n{h.address}:{h.ports["imaps"]} inet n - n - - imapd -o imapd_tls_wrappermode=yes\n{more}')
    return h.start()


def test_into_an_account(server, folder, user, carrier):
    h = start(server, folder, f'lda unix - n n - - pipe flags=DRhu user={carrier.name} argv=' + os.path.dirname(HATO) +
              f'/deliver -c {server.folder} -f ${{sender}} -d {ANN} -m Lists\n')
    assert lda(h, '-d', ANN, '-f', 'else@other.test').returncode == 0
    message = h.wait_message(ANN, 'one', 5)
    assert message['Return-Path'] == '<else@other.test>' and message.get_payload() == 'Hello.\r\n.\r\nAfter the dot.\r\n'
    # into a mailbox: made when there is none and deliver_mailbox_autocreate says so, else INBOX
    h.hato('folder', 'add', ANN, 'Lists')
    h.hato('folder', 'add', ANN, '受信/仕事')
    assert lda(h, '-d', ANN, '-m', 'Lists', name='deliver').returncode == 0 and h.subjects(ANN, 'Lists') == ['one']
    assert lda(h, '-d', ANN, '-m', '受信/仕事', '-a', 'ann+work@example.test', '-k').returncode == 0
    assert h.subjects(ANN, '"&U9dP4Q-/&TtVOiw-"') == ['one']
    with open(f'{folder}/file', 'w') as f:
        f.write('From MAILER-DAEMON Fri Jul  8 12:08:34 2011\n' + LETTER.format('from a file'))
    assert lda(h, '-d', ANN, '-p', f'{folder}/file').returncode == 0 and 'from a file' in h.subjects(ANN)
    done = lda(h, '-d', 'nobody@example.test')
    assert done.returncode == 67 and 'User unknown' in done.stderr
    assert lda(h, '--nonsense').returncode == 64
    # who may: root and vmail anybody's, others their own
    done = lda(h, '-d', ANN, user=user.uid)
    assert done.returncode == 77 and 'authorized_deliver_users' in done.stderr, done
    h.account(f'{user.name}@example.test')
    assert lda(h, user=user.uid).returncode == 0 and lda(h, '-d', f'{user.name}@example.test', user=user.uid).returncode == 0
    assert len(h.subjects(f'{user.name}@example.test')) == 2
    # in a pipe line
    h.send('someone@other.test', 'hackers@lists.test', LETTER.format('to a list'))
    assert h.wait_message(ANN, 'to a list', 20, 'Lists')['Return-Path'] == '<someone@other.test>'
    # full: whoever brought it tells the sender, or tries again; who warns of it gets through
    h.hato('account', 'quota', ANN, '2K')
    full = lda(h, '-d', ANN, '-e', text=LETTER.format('full') + 'x' * 5000)
    assert full.returncode in (75, 77) and 'full' in full.stderr, full
    assert lda(h, '-d', ANN, '-o', 'plugin/quota=maildir:User quota:noenforcing').returncode == 0
    h.hato('account', 'disable', ANN)
    assert lda(h, '-d', ANN).returncode == 67
    h.hato('account', 'enable', ANN)
    h.stop()
    done = lda(h, '-d', ANN)
    assert done.returncode == 75 and 'hato status' in done.stderr
    h.start()
