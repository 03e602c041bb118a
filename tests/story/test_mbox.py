# SPDX-License-Identifier: Apache-2.0
"""hato import mbox and hato export mbox: what other programs left in mailbox files comes in whole, and goes out as they read it."""
import bz2, gzip, json, mailbox, os, subprocess
import pytest
from around import *
from hato import running
from test_maildir import ANN, DATE, fill, truth

BOB, CAS = 'bob@example.test', 'cas@example.test'
FROM = 'From else@other.test Fri Mar  5 10:11:12 2021 +0000\n'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('mbox'), ANN, BOB, CAS) as instance:
        yield instance


def run(server, *words, code=0):
    done = server.hato(*words, '--json', check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if code in (0, 65) and done.stdout else done.stderr


def bodies(m, folder):
    return [text for _, (_, _, text) in sorted(truth(m, folder)[2].items())]


def test_every_dialect(server, tmp_path):
    """mboxo, mboxrd, mboxcl and mboxcl2, CRLF, flags of mutt, Pine, Dovecot and Thunderbird: once in, and in again changes nothing."""
    head = 'From: else@other.test\nSubject: {}\n'
    box = (FROM + head.format('rd') + 'Status: RO\nX-Status: AF\nX-Keywords: Work $Junk\n\n>From here\n>>From there\n\n'
           + FROM + head.format('cl2') + f'Content-Length: {len(FROM) + 9}\n\n' + FROM + '\n>From x\n' + '\n'
           + FROM + head.format('wrong length') + 'Content-Length: 7777\n\nshort\n\n'
           + FROM + head.format('no date below') + '\nA line:\n\nFrom nowhere\n\n'
           + FROM + head.format('thunderbird') + 'X-Mozilla-Status: 1001\n\nx\n\n'
           + FROM + head.format('gone in thunderbird') + 'X-Mozilla-Status: 0009\n\nx\n\n'
           + FROM + head.format('alike') + '\nx\n\n' + FROM + head.format('alike') + '\nx\n\n'
           + FROM + head.format('broken off'))
    file = tmp_path / 'old.mbox'
    file.write_bytes(box.encode())
    done = server.hato('import', 'mbox', str(file), '--account', BOB, '--mailbox', 'Old/mail', '--json', check=False)
    assert done.returncode == 0, done
    said = json.loads(done.stdout)
    assert (said['mailboxes'], said['messages'], said['failed']) == (1, 8, 0), said
    for line in ('line 20: its Content-Length', 'line 33: begins with From', '1 messages that are marked as deleted'):
        assert line in done.stderr, (line, done.stderr)
    m = server.imap(BOB)
    _, _, seen = truth(m, 'Old/mail')
    assert [sorted(flags) for flags, _, _ in seen.values()] == [['$Junk', 'Work', '\\Answered', '\\Flagged', '\\Seen'], [], [], [],
                                                                ['$Forwarded', '\\Seen'], [], [], []]
    assert {date for _, date, _ in seen.values()} == {'5-Mar-2021 10:11'}
    texts = bodies(m, 'Old/mail')
    assert texts[0].endswith(b'Subject: rd\r\n\r\nFrom here\r\n>From there\r\n')
    assert texts[1].endswith(b'Subject: cl2\r\n\r\n' + FROM.replace('\n', '\r\n').encode() + b'\r\n>From x\r\n')
    assert texts[3].endswith(b'A line:\r\n\r\nFrom nowhere\r\n') and texts[7].endswith(b'broken off\r\n')
    again = run(server, 'import', 'mbox', str(file), '--account', BOB, '--mailbox', 'Old/mail')
    assert (again['messages'], again['there_before']) == (0, 8), again
    file.write_bytes(box.replace(f'Length: {len(FROM) + 9}', f'Length: {len(FROM) + 12}').replace('\n', '\r\n').encode())
    crlf = run(server, 'import', 'mbox', str(file), '--account', BOB, '--mailbox', 'crlf')
    assert crlf['messages'] == 8
    assert bodies(m, 'crlf') == texts
    m.logout()


def test_packed(server, tmp_path):
    """What logrotate and archives leave: a file by itself and a folder of them; damaged ones and bombs are told, the rest comes in."""
    dan = server.account('dan@example.test')
    box = (FROM + 'Subject: one\n\nx\n\n' + FROM + 'Subject: two\n\ny\n').encode()
    folder = tmp_path / 'old'
    folder.mkdir()
    (folder / 'a.gz').write_bytes(gzip.compress(box))
    subprocess.run(['zstd', '-q', '-o', folder / 'b.zst'], input=box, check=True)
    (folder / 'c').write_bytes(box)
    (folder / 'cut.gz').write_bytes(gzip.compress(box)[:-9])
    (folder / 'bomb.gz').write_bytes(gzip.compress(b'A' * (300 << 20), 9))
    (folder / 'x.bz2').write_bytes(bz2.compress(box))
    done = server.hato('import', 'mbox', str(folder), '--account', dan, check=False)
    assert done.returncode == 65, done
    for line in ('cut.gz: compressed, and damaged', 'bomb.gz: compressed, and unpacks', 'x.bz2: compressed: unpack it first'):
        assert line in done.stderr, (line, done.stderr)
    assert [server.subjects(dan, b) for b in 'abc'] == [['one', 'two']] * 3
    assert run(server, 'import', 'mbox', str(folder / 'a.gz'), '--account', dan, '--mailbox', 'Single')['messages'] == 2


def test_uids_of_a_folder_of_mailboxes(server, tmp_path):
    """X-IMAPbase and X-UID (Dovecot, UW IMAP, mutt): UIDVALIDITY and UIDs stay; folders, Thunderbird's .sbd, what is no mailbox."""
    (tmp_path / 'Lists.sbd').mkdir()
    (tmp_path / 'Lists.sbd' / 'hato').write_text(FROM + 'Subject: a\nX-IMAPbase: 1234567 0000000020 Work\nX-UID: 5\n\na\n\n'
                                                 + FROM + 'Subject: b\nX-UID: 9\nStatus: R\n\nb\n\n' + FROM + 'Subject: c\nX-UID: 9\n\nc\n')
    (tmp_path / 'Lists').write_text('')
    (tmp_path / 'Lists.msf').write_text('// index')
    (tmp_path / 'notes.txt').write_text('no mail\n')
    (tmp_path / 'old.gz').write_bytes(b'\x1f\x8b\x08\0')
    done = server.hato('import', 'mbox', str(tmp_path), '--account', CAS, '--json', check=False)
    assert done.returncode == 65 and json.loads(done.stdout)['messages'] == 3, done
    assert 'notes.txt: line 1:' in done.stderr and 'old.gz: compressed' in done.stderr and 'msf' not in done.stderr
    m = server.imap(CAS)
    validity, following, seen = truth(m, 'Lists/hato')
    assert (validity, following, sorted(seen)) == ('1234567', '22', [5, 9, 21]) and seen[21][2].endswith(b'c\r\n'), (validity, following, seen)
    assert m.select('Lists', readonly=True)[1] == [b'0']
    m.logout()


def test_out_and_in_again(server, tmp_path):
    """What goes out comes in again with the same uids, flags, dates and texts; Python reads it; nothing is overwritten."""
    m = server.imap(ANN)
    fill(m)
    m.append('Sent', '(\\Seen \\Draft)', DATE, b'From: a\r\nStatus: mine\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom x Mon Nov 23 06:36:09 2026\r\n\r\n')
    m.logout()
    for form in ('mboxrd', 'mboxcl', 'mboxcl2'):
        there_and_back(server, tmp_path / form, form)


def there_and_back(server, out, form):
    other = server.account(f'{form}@example.test')
    said = run(server, 'export', 'mbox', str(out), '--account', ANN, '--format', form)
    assert said['messages'] == 10 and (out / 'Lists.sbd' / 'hato').exists() and (out / '&bUGL1Q-').exists()
    if form == 'mboxrd':
        assert len(mailbox.mbox(out / 'Sent')) == 2 and mailbox.mbox(out / 'INBOX')[0]['X-Status'] == 'AF'
    assert 'is there already' in server.hato('export', 'mbox', str(out), '--account', ANN, check=False).stderr
    format = [] if form == 'mboxrd' else ['--format', form]
    assert run(server, 'import', 'mbox', str(out), '--account', other, *format)['messages'] == 10
    a, b = server.imap(ANN), server.imap(other)
    for folder in ('INBOX', 'Sent', 'Lists/hato', '&bUGL1Q-'):
        x, y = truth(a, folder), truth(b, folder)
        assert x[:2] == y[:2] and sorted(x[2]) == sorted(y[2]), (folder, x[:2], y[:2])
        for uid in x[2]:
            assert x[2][uid][:2] == y[2][uid][:2], (folder, uid)
            had, got = x[2][uid][2].replace(b'Status: mine\r\n', b''), y[2][uid][2]
            assert got in (had, had + b'\r\n'), (folder, uid, had[-200:], got[-200:])
    a.logout()
    b.logout()
