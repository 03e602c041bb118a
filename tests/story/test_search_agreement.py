# SPDX-License-Identifier: Apache-2.0
"""The same 2,000 messages and the same 300 questions to Debian's Dovecot and to hato. What differs on purpose has its reason in
REASONS; anything else is a mistake of ours."""
import os, shutil, socket, sys, tempfile, time
import pytest
from around import TOP, needs_dovecot_2_3
from hato import Instance
import searchmail

sys.path.append(TOP + '/bench')
pytestmark = [pytest.mark.root, pytest.mark.skipif(shutil.which('dovecot') is None, reason='Dovecot is not installed')]
MESSAGES, COMMANDS, DOMAIN = 2000, 300, 'agree.test'
# Commands that hold this may be answered differently, and why.
REASONS = {
    'SENTBEFORE': 'without a readable Date a message was sent at no time: Dovecot takes 1970 for it',
    'SENTON': 'the same', 'SENTSINCE': 'the same',
}
# Dovecot numbers the strings of a sort key when it first meets them; met in parts, equal strings come apart: all at once.
ALL_AT_ONCE = ('CC', 'FROM', 'SUBJECT', 'TO', 'DISPLAYFROM', 'DISPLAYTO')


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.settimeout(60)
        self.file = self.socket.makefile('rb')
        self.file.readline()
        assert self.ask(f'LOGIN user@{DOMAIN} secret'.encode())[1].startswith(b'x OK')

    def ask(self, command):
        """The untagged answers that begin with the command's word, and the tagged one."""
        self.socket.sendall(b'x ' + command + b'\r\n')
        lines = []
        while True:
            line = self.file.readline()
            assert line, f'{command!r}: hung up'
            if line.startswith(b'x '):
                return lines, line
            lines.append(line.rstrip().decode('utf-8', 'replace'))

    def fill(self, messages):
        for text, when, flags in messages:
            date = time.strftime('%d-%b-%Y %H:%M:%S +0000', time.gmtime(when))
            lines, end = self.ask(f'APPEND INBOX ({flags}) "{date}" {{{len(text)}+}}\r\n'.encode() + text)
            assert end.startswith(b'x OK'), end
        assert self.ask(b'SELECT INBOX')[1].startswith(b'x OK')


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    import mailstack
    needs_dovecot_2_3()
    ours = Instance(tmp_path_factory.mktemp('ours'), main='imapd_tls_security_level = none\n')
    ours.account(f'user@{DOMAIN}')
    folder = tempfile.mkdtemp(prefix='hato-dovecot-')  # readable on the way for Dovecot's own users
    os.chmod(folder, 0o755)
    theirs = mailstack.Dovecot(folder, DOMAIN, ['user'], 'secret')
    all_ = list(searchmail.messages(MESSAGES))
    try:
        ours.start()
        theirs.start()
        clients = Client(ours.ports['imap']), Client(theirs.imap)
        for client in clients:
            client.fill(all_)
        yield clients, all_
    finally:
        theirs.stop()
        problems = ours.finish()
        shutil.rmtree(folder, ignore_errors=True)
    assert not problems, '\n'.join(problems)


def answers(client, command):
    word = next(w for w in ('SEARCH', 'SORT', 'THREAD') if f' {w} ' in f' {command[:12].decode()} ')
    lines, end = client.ask(command)
    found = [line for line in lines if line.startswith(f'* {word}')]
    return end.split()[1].decode(), found


def test_agreement(both):
    (ours, theirs), _ = both
    different = []
    for key in ALL_AT_ONCE:
        theirs.ask(f'SORT ({key}) UTF-8 ALL'.encode())
    for command in searchmail.commands(COMMANDS):
        a, b = answers(ours, command), answers(theirs, command)
        if a != b and not any(word.encode() in command for word in REASONS):
            different.append(f'{command!r}\n  hato:    {a}\n  Dovecot: {b}')
    assert not different, f'{len(different)} of {COMMANDS}:\n' + '\n'.join(different)
