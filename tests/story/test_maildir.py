# SPDX-License-Identifier: Apache-2.0
"""hato import maildir and hato export maildir: what clients of Dovecot knew they still know, in both directions."""
import gzip, imaplib, json, os, re, shutil, subprocess
import pytest
from around import *
from dovecot import Dovecot
from hato import running

ANN = 'ann@example.test'
DATE = '"05-Mar-2021 10:11:12 +0000"'


def letter(i, body='Body.\r\n'):
    return f'From: else@other.test\r\nTo: {ANN}\r\nSubject: letter {i}\r\nMessage-ID: <{i}@other.test>\r\n\r\n{body}'.encode()


def truth(m, folder):
    """All that a client would keep of a mailbox: uidvalidity and, for each uid, flags, date and text."""
    assert m.select(f'"{folder}"', readonly=True)[0] == 'OK'
    validity, following = (m.response(word)[1][0].decode() for word in ('UIDVALIDITY', 'UIDNEXT'))
    seen = {}
    if m.search(None, 'ALL')[1][0]:
        _, parts = m.fetch('1:*', '(UID FLAGS INTERNALDATE BODY.PEEK[])')
        parts = [p if isinstance(p, bytes) else p[0] + b'\0' + p[1] for p in parts]
        for head, tail in zip(parts[::2], parts[1::2]):
            line, text = head.split(b'\0', 1)
            words = (line + tail).decode()
            flags = frozenset(re.search(r'FLAGS \(([^)]*)\)', words)[1].split()) - {'\\Recent'}
            seen[int(re.search(r'UID (\d+)', words)[1])] = (flags, re.search(r'INTERNALDATE "([^"]*)"', words)[1].strip().lstrip('0')[:16], text)
    return validity, following, seen


def fill(m):
    """A mailbox with a past: gaps in its uids, flags, keywords, folders with names."""
    for i in range(1, 8):
        m.append('INBOX', '(\\Seen)' if i % 2 else None, DATE, letter(i))
    m.select('INBOX')
    m.store('2', '+FLAGS', '\\Deleted')
    m.expunge()
    m.store('1', '+FLAGS', '(\\Flagged \\Answered)')
    m.store('3', '+FLAGS', '($Forwarded $Junk Work)')
    m.store('6', '+FLAGS', '(\\Draft Work)')
    for name in ('"Sent"', '"Lists/hato"', '"&bUGL1Q-"'):
        m.create(name)
        m.subscribe(name)
        m.append(name, '(\\Seen)', DATE, letter(name.strip('"&'), 'x' * 3000000 if 'hato' in name else '.\r\nno end'))


FOLDERS = ('INBOX', 'Sent', 'Lists/hato', '&bUGL1Q-')


def same(a, b):
    for folder in FOLDERS:
        x, y = truth(a, folder), truth(b, folder)
        assert x[0] == y[0] and x[1] == y[1] and sorted(x[2]) == sorted(y[2]), (folder, x[:2], y[:2], sorted(x[2]), sorted(y[2]))
        for uid in x[2]:
            assert x[2][uid][:2] == y[2][uid][:2] and x[2][uid][2] == y[2][uid][2], (folder, uid, x[2][uid][:2], y[2][uid][:2])


@pytest.fixture(scope='module')
def dovecot(tmp_path_factory):
    with Dovecot(tmp_path_factory.mktemp('dovecot')) as d:
        yield d


@pytest.fixture(scope='module')
def filled(dovecot):
    m = dovecot.imap(ANN)
    fill(m)
    yield m
    m.logout()


def test_from_dovecot_and_back(dovecot, filled, tmp_path):
    with running(tmp_path / 'hato', ANN) as server:
        done = json.loads(server.hato('import', 'maildir', dovecot.maildir(ANN), '--account', ANN, '--json').stdout)
        assert done['messages'] == 9 and done['mailboxes'] == 4 and done['failed'] == 0
        m = server.imap(ANN)
        same(filled, m)
        subscribed = {re.search(rb'"?([^" ]+)"?$', line)[1].decode() for line in m.lsub()[1]}
        assert set(FOLDERS[1:]) <= subscribed
        # again: nothing twice; new mail and uids go on
        done = json.loads(server.hato('import', 'maildir', dovecot.maildir(ANN), '--account', ANN, '--json').stdout)
        assert done['messages'] == 0 and done['there_before'] == 9
        same(filled, m)
        # out again, and Dovecot shows the same under another name
        for _ in range(2):
            out = server.hato('export', 'maildir', dovecot.maildir('copy'), '--account', ANN).stdout
        assert 'were there already' in out
        dovecot.give('copy')
        copy = dovecot.imap('copy')
        same(m, copy)
        copy.logout()
        m.logout()


def test_mbsync_sees_the_same_uids(dovecot, filled, tmp_path):
    def sync(port, password, folder):
        (tmp_path / 'rc').write_text(
            f'IMAPAccount a\nHost 127.0.0.1\nPort {port}\nUser {ANN}\nPass {password}\nAuthMechs LOGIN\nSSLType None\n'
            f'\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath {folder}/\nInbox {folder}/INBOX\nSubFolders Verbatim\n\n'
            f'Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nExpunge None\nSyncState *\n')
        done = subprocess.run(['mbsync', '-c', str(tmp_path / 'rc'), '-V', 'c'], capture_output=True, text=True, timeout=60 * SLOW)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return len(os.listdir(f'{folder}/INBOX/cur')) + len(os.listdir(f'{folder}/INBOX/new')), done.stdout + done.stderr
    os.makedirs(tmp_path / 'box')
    assert sync(dovecot.ports['imap'], 'secret', tmp_path / 'box')[0] == 6
    with running(tmp_path / 'hato', ANN, main='imapd_tls_security_level = none\n') as server:
        server.hato('import', 'maildir', dovecot.maildir(ANN), '--account', ANN)
        count, said = sync(server.ports['imap'], 'secret', tmp_path / 'box')
        assert count == 6 and 'uidvalidity' not in said.lower(), said


PACKED = "protocol imap {\n  mail_plugins = $mail_plugins zlib\n}\nplugin {\n  zlib_save = %s\n}\n"


@pytest.mark.parametrize('form', ['gz', 'zstd', 'lz4'])
def test_packed(tmp_path, form):
    with Dovecot(tmp_path / 'd', PACKED % form) as d:
        m = d.imap(ANN)
        fill(m)
        files = [os.path.join(at, f) for at, _, names in os.walk(d.maildir(ANN)) for f in names if ',S=' in f]
        magic = {'gz': b'\x1f\x8b', 'zstd': b'\x28\xb5\x2f\xfd', 'lz4': b'Dovecot-LZ4'}[form]
        assert len(files) == 9 and all(open(f, 'rb').read().startswith(magic) for f in files)
        with running(tmp_path / 'hato', ANN) as server:
            done = json.loads(server.hato('import', 'maildir', d.maildir(ANN), '--account', ANN, '--json').stdout)
            assert (done['messages'], done.get('failed', 0)) == (9, 0), done
            mine = server.imap(ANN)
            same(m, mine)
            mine.logout()
            for at in files[:3]:                                                       # damaged, cut off, a bomb
                text = open(at, 'rb').read()
                os.rename(at, at.rsplit('/', 1)[0] + '/9%d.M1.cut:2,S' % files.index(at))
                open(at.rsplit('/', 1)[0] + '/9%d.M1.cut:2,S' % files.index(at), 'wb').write(text[:-9])
            open(d.maildir(ANN) + '/cur/99.M2.bomb:2,S', 'wb').write(gzip.compress(b'A' * (300 << 20), 9))
            done = server.hato('import', 'maildir', d.maildir(ANN), '--account', ANN, check=False)
            assert done.returncode == 65 and done.stderr.count('damaged or cut off') == 3 and 'a bomb?' in done.stderr, done.stderr
        m.logout()


@pytest.mark.core
def test_a_plain_maildir_and_hostile_ones(tmp_path):
    box = tmp_path / 'box'
    for part in ('cur', 'new', 'tmp', '.Old/cur', '.Old/new', '.Bad &name/cur', '.Empty'):
        (box / part).mkdir(parents=True)
    (box / 'new/1000.M1.h').write_bytes(b'Subject: one\n\nbody\n')
    (box / 'cur/2000.M2.h:2,FRSab').write_bytes(b'Subject: two\r\n\r\nbody\r\n')
    (box / 'cur/3000.M3.h:2,S').write_bytes(b'BZh9compressed')
    (box / '.Old/cur/4000.M4.h:2,').write_bytes(b'Subject: four\n\nno end')
    (tmp_path / 'secret').write_text('Subject: not yours\n\n')
    os.symlink(tmp_path / 'secret', box / 'cur/5000.M5.h:2,S')
    os.mkfifo(box / 'cur/6000.M6.h:2,S')
    (box / '.Old/dovecot-uidlist').write_text('3 V77 N9000000000\n')
    with running(tmp_path / 'hato', ANN) as server:
        for messages, there in ((3, 0), (0, 3)):
            done = server.hato('import', 'maildir', str(box), '--account', ANN, '--json', check=False)
            told = json.loads(done.stdout)
            assert done.returncode == 65 and (told['messages'], told['there_before']) == (messages, there), (done.stdout, done.stderr)
            assert 'compressed' in done.stderr and 'not yours' not in done.stdout
        m = server.imap(ANN, select='INBOX')
        assert sorted(server.subjects(ANN)) == ['one', 'two'] and server.subjects(ANN, 'Old') == ['four']
        assert b'\\Flagged' in m.fetch('2', '(FLAGS)')[1][0] and m.search(None, 'UNSEEN')[1] == [b'1']
        m.logout()
        assert server.hato('import', 'maildir', str(box), '--account', 'none@example.test', check=False).returncode == 67
        assert server.hato('import', 'maildir', str(tmp_path / 'nowhere'), '--account', ANN, check=False).returncode == 66
        assert server.hato('import', 'maildir', str(tmp_path), '--account', ANN, check=False).returncode == 65
        assert server.hato('import', 'mbox', str(box), check=False).returncode == 64


def test_pop3_ids_come_along(dovecot, tmp_path):
    import poplib
    box = tmp_path / 'box'
    for part in ('cur', 'new', 'tmp'):
        (box / part).mkdir(parents=True)
    for i in (1, 2, 3):
        (box / f'cur/{i}000.M{i}.h:2,S').write_bytes(letter(i))
    (box / 'dovecot-uidlist').write_text('3 V1600000000 N40 Gabc\n11 PUID11-99 W99 :1000.M1.h\n25 :2000.M2.h:2,S\n30 S10 Pold.id.30 :3000.M3.h\n')
    with running(tmp_path / 'hato', ANN) as server:
        server.stop()
        server.hato('import', 'maildir', str(box), '--account', ANN)  # while the server is down, too
        server.start()
        p = poplib.POP3_SSL(server.address, server.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
        p.user(ANN)
        p.pass_('secret')
        assert p.uidl()[1] == [b'1 UID11-99', b'2 00000019%08x' % 1600000000, b'3 old.id.30']
        assert p.uidl(3) == b'+OK 3 old.id.30'
        p.quit()
        m = server.imap(ANN)
        m.append('INBOX', None, None, letter(4))
        assert list(truth(m, 'INBOX')[2]) == [11, 25, 30, 40]
        m.logout()


def test_a_tree_of_folders(tmp_path):
    """Dovecot's LAYOUT=fs: names are paths; dbox is not for us to read."""
    box = tmp_path / 'mail'
    for name in ('', 'INBOX', 'Lists/hato', 'Lists/&U9dP4Q-', 'No/mail'):
        for part in ('cur', 'new', 'tmp') if name != 'No/mail' and name else ():
            (box / name / part).mkdir(parents=True)
    (box / 'No/mail').mkdir(parents=True)
    (box / 'INBOX/cur/1000.M1.h:2,S').write_bytes(b'Subject: in\n\nbody\n')
    (box / 'Lists/hato/cur/1000.M2.h:2,a').write_bytes(b'Subject: list\n\nbody\n')
    (box / 'Lists/hato/dovecot-uidlist').write_text('3 V1234567 N78 G0123456789abcdef0123456789abcdef\n77 :1000.M2.h\n')
    (box / 'Lists/hato/dovecot-keywords').write_text('0 $Work\n')
    (box / 'Lists/&U9dP4Q-/new/1000.M3.h').write_bytes(b'Subject: jp\n\nbody\n')
    (box / 'subscriptions').write_text('Lists/hato\n')
    (box / 'dovecot-uidvalidity').write_text('7fffff01')
    for name in ('7fffff00', '7fffff01', '7fffff0g', 'ffffffff'):  # the last given one; what is no number, and the last of all
        (box / f'dovecot-uidvalidity.{name}').touch()
    os.makedirs(tmp_path / 'mdbox/mailboxes'), os.makedirs(tmp_path / 'mdbox/storage')
    with running(tmp_path / 'hato', ANN) as server:
        done = json.loads(server.hato('import', 'maildir', str(box), '--account', ANN, '--json').stdout)
        assert done['messages'] == 3 and done['mailboxes'] == 3 and done['failed'] == 0, done
        m = server.imap(ANN)
        validity, following, seen = truth(m, 'Lists/hato')
        assert (validity, following) == ('1234567', '78') and seen[77][0] == {'$Work'}
        assert b'"/" "Lists/hato"' in b' '.join(m.lsub()[1]) or b'Lists/hato' in b' '.join(m.lsub()[1])
        assert int(truth(m, 'Lists/&U9dP4Q-')[0]) > 0x7fffff01  # it has no uidlist: a new number, larger than any that was given
        assert len(truth(m, 'Lists/&U9dP4Q-')[2]) == 1 and len(truth(m, 'INBOX')[2]) == 1
        m.logout()
        done = server.hato('import', 'maildir', str(tmp_path / 'mdbox'), '--account', ANN, check=False)
        assert done.returncode == 65 and 'mdbox' in done.stderr and 'backup -u USER maildir:' in done.stderr
