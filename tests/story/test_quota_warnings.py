# SPDX-License-Identifier: Apache-2.0
"""The owner of an account hears of it at 80 and at 95 percent, once each; what undelete keeps, and that it can be switched off."""
import email, email.header, json, re
from around import *
from hato import running

ANN, BOB = 'ann@warn.test', 'bob@warn.test'


def letter(n, size):
    return f'Subject: letter {n}\r\n\r\n{("x" * 70 + chr(13) + chr(10)) * (size // 72)}'.encode()


def warnings(server, user):
    """The percent of each warning in the INBOX."""
    m = server.imap(user, select='INBOX')
    found = []
    for n in m.search(None, 'FROM', 'postmaster')[1][0].split():
        text = email.message_from_bytes(m.fetch(n, '(BODY.PEEK[HEADER])')[1][0][1])
        subject = str(email.header.make_header(email.header.decode_header(text['Subject'])))
        found.append(int(re.search(r'is (\d+) % full', subject)[1]))
    m.logout()
    return found


def test_both_levels(tmp_path):
    with running(tmp_path / 'hato', ANN, BOB) as server:
        server.hato('account', 'quota', ANN, '1M')
        m = server.imap(ANN, select='INBOX')
        for n in range(7):
            assert m.append('INBOX', None, None, letter(n, 100000))[0] == 'OK'
        assert warnings(server, ANN) == []
        assert m.append('INBOX', None, None, letter(8, 160000))[0] == 'OK'          # 82 %
        wait_until(lambda: len(warnings(server, ANN)) == 1, 40, 'the warning at 80 %')
        assert m.append('INBOX', None, None, letter(9, 20000))[0] == 'OK'
        assert m.append('INBOX', None, None, letter(10, 130000))[0] == 'OK'         # 96 %
        wait_until(lambda: len(warnings(server, ANN)) == 2, 40, 'the warning at 95 %')
        assert warnings(server, ANN) == [80, 95], warnings(server, ANN)
        assert m.append('INBOX', None, None, letter(11, 5000))[0] == 'OK'           # nothing new
        m.logout()
        server.hato('domain', 'quota', 'warn.test', '1200K')                        # of all together, by its own limit
        answer = server.hato('domain', 'quota', 'warn.test', '--json').stdout
        assert json.loads(answer)['bytes'] > 900000
        m = server.imap(BOB, select='INBOX')
        status, what = m.append('INBOX', None, None, letter(12, 400000))
        assert status == 'NO' and b'OVERQUOTA' in what[0], what
        m.logout()
        assert warnings(server, ANN) == [80, 95]


def test_undelete_switched_off(tmp_path):
    with running(tmp_path / 'hato', ANN) as server:
        m = server.imap(ANN, select='INBOX')
        for n in range(5):
            m.append('INBOX', None, None, letter(n, 2000))
        m.select('INBOX')
        m.store('1:3', '+FLAGS', '\\Deleted')
        m.expunge()
        assert len(json.loads(server.hato('undelete', ANN, '--list', '--json').stdout)) == 3
        server.configure('undelete_keep_time = 0\n')
        server.hato('reload')
        m.store('1', '+FLAGS', '\\Deleted')
        m.expunge()                                                                   # gone at once
        assert len(json.loads(server.hato('undelete', ANN, '--list', '--json').stdout)) == 3
        m.logout()
        server.stop()
        server.start()
        wait_until(lambda: 'undelete: freed 3 messages' in server.log(), 40, 'what was kept to be freed')
        assert re.search(r'undelete: freed 3 messages, \d{4,} bytes', server.log())
        nothing = server.hato('undelete', ANN, check=False)
        assert nothing.returncode in (65, 78) and nothing.stderr, nothing
        assert server.hato('verify').returncode == 0
