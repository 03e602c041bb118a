# SPDX-License-Identifier: Apache-2.0
"""The programs that people use, as Debian ships them: each sends, or reads, the way its manual says."""
import imaplib, re, subprocess, mailbox
import pytest
from around import *
from clients import certificate, flags_of, home_of, mbsync_rc, run
from hato import running

pytestmark = pytest.mark.core
ANN, BOB = 'ann@example.test', 'bob@example.test'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clients')
    with running(folder, ANN, BOB, main=certificate(folder)) as instance:  # clients that check names check "localhost"
        yield instance


@pytest.fixture
def home(tmp_path):
    return home_of(tmp_path)


SWAKS = {
    'plain': ('smtp', []),
    'starttls': ('smtp', ['--tls']),
    'submission AUTH PLAIN': ('submission', ['--tls', '--auth', 'PLAIN', '--auth-user', BOB, '--auth-password', 'secret']),
    'submission AUTH LOGIN': ('submission', ['--tls', '--auth', 'LOGIN', '--auth-user', BOB, '--auth-password', 'secret']),
    'smtps': ('smtps', ['--tls-on-connect', '--auth', 'PLAIN', '--auth-user', BOB, '--auth-password', 'secret']),
    'pipelined': ('smtp', ['--pipeline']),
}


@pytest.mark.parametrize('way', SWAKS)
def test_swaks(server, home, way):
    service, options = SWAKS[way]
    run(['swaks', '--server', server.address, '--port', str(server.ports[service]), '--from', BOB, '--to', ANN, '--header',
         f'Subject: swaks {way}', '--body', 'by swaks', *options], home)
    assert 'by swaks' in server.wait_message(ANN, f'swaks {way}').get_payload()


def test_s_nail(server, home):
    run(['s-nail', '-n', '-S', 'v15-compat', '-S', 'smtp-use-starttls', '-S', 'tls-verify=ignore', '-S', 'smtp-auth=login', '-S', 'sendwait',
         '-S', f'mta=smtp://bob%40example.test:secret@localhost:{server.ports["submission"]}', '-S', f'from={BOB}', '-s', 's-nail — grüße', ANN],
        home, input='by s-nail\n')
    stored = server.wait_message(ANN, lambda m: 's-nail' in str(m['Subject']))
    assert stored['From'] == BOB and 'by s-nail' in stored.get_payload()


@pytest.mark.parametrize('auth', ['plain', 'login'])
@pytest.mark.parametrize('service', ['submission', 'smtps'])
def test_msmtp(server, home, auth, service):
    subject = f'msmtp {auth} {service}'
    run(['msmtp', '-C', '/dev/null', '--host=localhost', f'--port={server.ports[service]}', '--tls=on', '--tls-certcheck=off',
         f'--tls-starttls={"on" if service == "submission" else "off"}', f'--auth={auth}', f'--user={BOB}', '--passwordeval=echo secret',
         f'--from={BOB}', ANN], home, input=f'From: {BOB}\nTo: {ANN}\nSubject: {subject}\n\nby msmtp\n.\n..\n')
    assert server.wait_message(ANN, subject).get_payload().splitlines() == ['by msmtp', '.', '..']


def test_curl(server, home, tmp_path):
    letter = message(BOB, ANN, 'by curl', noise(300000, 7))
    (tmp_path / 'letter').write_text(letter, newline='')
    run(['curl', '-sS', '-k', '--ssl-reqd', '--url', f'smtp://localhost:{server.ports["submission"]}', '--mail-from', BOB, '--mail-rcpt', ANN,
         '--user', f'{BOB}:secret', '-T', str(tmp_path / 'letter')], home)
    server.wait_message(ANN, 'by curl')
    box = f'imaps://localhost:{server.ports["imaps"]}/INBOX'
    login = ['curl', '-sS', '-k', '--user', f'{ANN}:secret']
    found = run([*login, box, '-X', 'SEARCH SUBJECT "by curl"'], home).split()
    assert len(found) == 3 and found[1] == 'SEARCH'
    fetched = subprocess.run([*login, f'{box};MAILINDEX={found[2]}'], env=home, capture_output=True, timeout=60 * SLOW).stdout.decode()
    assert fetched.endswith(letter.split('\r\n\r\n', 1)[1])
    assert 'Subject: by curl' in run([*login, f'{box};MAILINDEX={found[2]};SECTION=HEADER.FIELDS%20(SUBJECT)'], home)
    run([*login, '-T', str(tmp_path / 'letter'), f'imaps://localhost:{server.ports["imaps"]}/Drafts'], home)
    assert server.subjects(ANN, 'Drafts') == ['by curl']
    plain = run(['curl', '-sS', '-k', '--ssl-reqd', '--user', f'{ANN}:secret', f'imap://localhost:{server.ports["imap"]}/'], home)
    assert 'INBOX' in plain and 'Drafts' in plain


def test_mutt(server, home, tmp_path):
    (tmp_path / 'attached.bin').write_bytes(bytes(range(256)) * 40)
    (tmp_path / 'muttrc').write_text(f'''set from="{BOB}" realname="Bob" use_envelope_from
set smtp_url="smtp://bob%40example.test@localhost:{server.ports['submission']}/" smtp_pass="secret"
set ssl_force_tls=yes ssl_verify_host=no ssl_verify_dates=no ssl_starttls=yes certificate_file="{server.folder}/localhost.crt"
set imap_user="{ANN}" imap_pass="secret" folder="imaps://localhost:{server.ports['imaps']}/" spoolfile="+INBOX"
set copy=no mbox_type=mbox confirmappend=no confirmcreate=no delete=yes quit=yes wait_key=no move=no sleep_time=0 header_cache="" mail_check=1
''')
    mutt = ['mutt', '-n', '-F', str(tmp_path / 'muttrc')]
    run([*mutt, '-s', 'by mutt ü', '-a', str(tmp_path / 'attached.bin'), '--', ANN], home, input='with an attachment\n')
    stored = server.wait_message(ANN, lambda m: m.is_multipart() and 'mutt' in str(m['Subject']))
    assert stored.get_payload(1).get_payload(decode=True) == bytes(range(256)) * 40
    saved = tmp_path / 'saved'
    shown = on_terminal([*mutt, '-f', f'imaps://localhost:{server.ports["imaps"]}/INBOX', '-e',
                 f'push "<limit>~smutt<enter><tag-pattern>~A<enter><tag-prefix><copy-message>{saved}<enter>'
                 '<tag-prefix><copy-message>=Archive<enter><quit>"'], home)
    kept = mailbox.mbox(str(saved))
    assert len(kept) == 1 and kept[0].get_payload(1).get_payload(decode=True) == bytes(range(256)) * 40
    assert len(server.messages(ANN, 'Archive')) == 1, shown


def test_mbsync(hosts, home, tmp_path):
    """A full two-way sync: mail, flags, folders and deletions, in both directions, with nothing left over."""
    server = hosts(accounts=[ANN], main=certificate(tmp_path))
    for n in range(30):
        server.send('x@else.test', ANN, message('x@else.test', ANN, f'remote {n:02d}', noise(2000, n)))
    local = tmp_path / 'mail'
    local.mkdir()
    mbsync_rc(tmp_path, server, ANN, 'Remove Both')
    sync = lambda: run(['mbsync', '-c', str(tmp_path / 'rc'), '-a'], home, seconds=120)
    inbox = lambda: mailbox.Maildir(str(local / 'INBOX'))
    sync()
    assert sorted(m['Subject'] for m in inbox()) == [f'remote {n:02d}' for n in range(30)]
    assert (local / 'Drafts').is_dir() and (local / 'Sent').is_dir()
    # changes on this side: flags, a deletion, a new message, a new folder with mail in it
    box = inbox()
    for key, m in list(box.items()):
        number = int(m['Subject'][-2:])
        if number < 5:
            m.add_flag('S'), m.add_flag('F')
            m.set_subdir('cur')
            box[key] = m
        elif number == 5:
            m.add_flag('T')
            m.set_subdir('cur')
            box[key] = m
    box.add(message(ANN, BOB, 'local one').encode())
    mailbox.Maildir(str(local / 'Project'), create=True).add(message(ANN, BOB, 'in project').encode())
    # and on that side
    m = server.imap(ANN, select='INBOX')
    assert m.store('11:15', '+FLAGS', '(\\Answered \\Seen)')[0] == 'OK'
    assert m.store('20', '+FLAGS', '(\\Deleted)')[0] == 'OK' and m.expunge()[0] == 'OK'
    assert m.create('Remote/Deep')[0] == 'OK' or m.create('Remote.Deep')[0] == 'OK'
    m.logout()
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'remote late'))
    sync()
    far = flags_of(server, ANN)
    near = {m['Subject']: m.get_flags() for m in inbox()}
    expected = {f'remote {n:02d}' for n in range(30) if n not in (5, 19)} | {'local one', 'remote late'}
    assert set(far) == set(near) == expected
    assert all(far[f'remote {n:02d}'] >= {'\\Seen', '\\Flagged'} for n in range(5))
    assert all(set('RS') <= set(near[f'remote {n:02d}']) for n in range(10, 15))
    assert server.subjects(ANN, 'Project') == ['in project']
    sync()  # nothing to do is nothing done
    assert flags_of(server, ANN) == far


def test_imaplib(server):
    m = imaplib.IMAP4(server.address, server.ports['imap'])
    assert 'LOGINDISABLED' in m.capabilities
    with pytest.raises(imaplib.IMAP4.error):
        m.login(ANN, 'secret')
    m.starttls(ssl_context=NO_NAME)
    m.login(ANN, 'secret')
    m.append('INBOX', '\\Seen', imaplib.Time2Internaldate(1000000000), message(BOB, ANN, 'appended', 'x' * 70000 + '\r\n').encode())
    m.select()
    _, found = m.uid('SEARCH', 'SUBJECT', '"appended"')
    _, data = m.uid('FETCH', found[0], '(FLAGS INTERNALDATE RFC822.SIZE BODY[])')
    assert b'\\Seen' in data[0][0] and b'9-Sep-2001' in data[0][0] and len(data[0][1]) > 70000
    m.logout()
