# SPDX-License-Identifier: Apache-2.0
"""Mailboxes of others, public ones, administrators who act as users, limits and what is said about them: with Python's imaplib and
smtplib as the clients, and mutt."""
import email.header, imaplib, json, os, smtplib, time
import pytest
from around import *
from hato import Instance, running

ANN, BOB, ADMIN, PUBLIC = 'ann@example.test', 'bob@example.test', 'admin@example.test', 'public@example.test'
MAIN = f'''imapd_tls_security_level = none
auth_master_users = {ADMIN}
imapd_public_account = {PUBLIC}
recipient_delimiter = +
deliver_to_detail_mailbox = yes
'''


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    instance = Instance(tmp_path_factory.mktemp('sharing'), main=MAIN).start()
    for name in (ANN, BOB, ADMIN):
        instance.account(name)
    instance.hato('account', 'add', PUBLIC, '--no-login')
    yield instance
    problems = instance.finish()
    assert not problems, '\n'.join(problems)


def imap(server, user, password='secret'):
    i = imaplib.IMAP4(server.address, server.ports['imap'])
    i.login(f'"{user}"', password)
    return i


def ok(answer):
    assert answer[0] == 'OK', answer
    return answer[1]


def listed(server, *words):
    return json.loads(server.hato(*words, '--json').stdout)


def new_account(server, name):
    server.account(name)
    return name


def test_two_people_share_a_mailbox(server):
    ann, bob = imap(server, ANN), imap(server, BOB)
    ok(ann.create('Plans'))
    ok(ann.setacl('Plans', BOB, 'lrswite'))
    ok(ann.append('Plans', None, None, message(ANN, BOB, 'the plan').encode()))
    shared = f'Shared/{ANN}/Plans'
    assert any(shared.encode() in line for line in ok(bob.list()))
    assert ok(bob.select(shared)) == [b'1']
    ok(bob.store('1', '+FLAGS', r'(\Flagged \Seen)'))
    ok(ann.select('Plans'))
    assert rb'\Flagged' in ok(ann.fetch('1', '(FLAGS)'))[0] and rb'\Seen' in ok(ann.fetch('1', '(FLAGS)'))[0]
    ok(bob.copy('1', 'INBOX'))
    assert 'the plan' in server.subjects(BOB)
    ok(bob.append(shared, None, None, message(BOB, ANN, 'the answer').encode()))
    ok(ann.noop())
    assert ann.response('EXISTS')[1][-1] == b'2'
    ok(ann.deleteacl('Plans', BOB))
    assert bob.select(shared)[0] == 'NO'
    assert ann.getacl('Plans')[1] == [f'Plans {ANN} lrswipkxteacd'.encode()]


def test_an_operator_gives_rights(server):
    server.hato('acl', 'set', ANN, 'Archive', BOB, 'read')
    assert {'mailbox': 'Archive', 'identifier': BOB, 'rights': 'lrs'} in listed(server, 'acl', 'list', ANN)
    assert ok(imap(server, BOB).myrights(f'Shared/{ANN}/Archive')) == [f'Shared/{ANN}/Archive lrs'.encode()]
    server.hato('acl', 'del', ANN, 'Archive', BOB)
    assert imap(server, BOB).myrights(f'Shared/{ANN}/Archive')[0] == 'NO'
    assert server.hato('acl', 'set', ANN, 'Archive', BOB, 'lrz', check=False).returncode == 65
    assert server.hato('acl', 'set', ANN, 'Nowhere', BOB, 'lr', check=False).returncode == 65
    assert server.hato('acl', 'set', ANN, 'Archive', ANN, 'lr', check=False).returncode == 65


def test_a_deleted_accounts_rights_are_gone(server):
    name = new_account(server, 'carol@example.test')
    server.hato('acl', 'set', ANN, 'INBOX', name, 'lr')
    server.hato('account', 'del', name, '--yes')
    new_account(server, name)
    assert imap(server, name).select(f'Shared/{ANN}/INBOX')[0] == 'NO'


def test_mutt_reads_a_shared_mailbox(server, tmp_path):
    ann = imap(server, ANN)
    ok(ann.create('Letters'))
    ok(ann.append('Letters', None, None, message(ANN, BOB, 'for mutt').encode()))
    ok(ann.setacl('Letters', BOB, 'lrsi'))
    rc = tmp_path / 'muttrc'
    rc.write_text(f'set imap_user={BOB}\nset imap_pass=secret\nset ssl_force_tls=no\nset ssl_starttls=no\nset imap_delim_chars="/"\nset folder={tmp_path}\n'
                  f'set copy=no\nset quit=yes\nset wait_key=no\npush "<copy-message>{tmp_path}/got<enter>y<quit>"\n')
    url = f'imap://{server.address}:{server.ports["imap"]}/Shared/{ANN.replace("@", "%40")}/Letters'
    seen = on_terminal(['mutt', '-n', '-F', str(rc), '-f', url], {**os.environ, 'TERM': 'xterm', 'HOME': str(tmp_path)})
    assert (tmp_path / 'got').exists() and 'for mutt' in (tmp_path / 'got').read_text(), seen[-1500:]


def test_public_mailboxes_take_mail_with_the_right_p(server):
    server.hato('folder', 'add', PUBLIC, 'Support')
    server.hato('acl', 'set', PUBLIC, 'Support', BOB, 'lrs')
    box, address = 'Public/Support', 'public+Support@example.test'
    bob = imap(server, BOB)
    server.send('x@else.test', [address], message('x@else.test', address, 'not there'))
    assert ok(bob.select(box, True)) == [b'0']
    server.hato('acl', 'set', PUBLIC, 'Support', 'anyone', 'p')
    server.send('x@else.test', [address], message('x@else.test', address, 'posted'))
    assert ok(bob.select(box, True)) == [b'1']
    # one's own mailboxes take it without
    imap(server, ANN).create('Lists')
    server.send('x@else.test', ['ann+Lists@example.test'], message('x@else.test', ANN, 'to a list'))
    assert server.subjects(ANN, 'Lists') == ['to a list']
    server.send('x@else.test', ['ann+nosuch@example.test'], message('x@else.test', ANN, 'to nobody'))
    assert 'to nobody' in server.subjects(ANN)


def test_folders_made_on_delivery(tmp_path):
    with running(tmp_path, ANN, main='recipient_delimiter = +\ndeliver_to_detail_mailbox = yes\ndeliver_mailbox_autocreate = yes\n'
                 'deliver_mailbox_autosubscribe = yes\nimapd_tls_security_level = none\n') as server:
        for detail, text in (('Lists/hato', 'first'), ('Lists/hato', 'second'), ('inbox', 'home'), ('a//b', 'no name')):
            server.send('x@else.test', [f'ann+{detail}@example.test'], message('x@else.test', ANN, text))
        assert server.subjects(ANN, 'Lists/hato') == ['first', 'second'] and server.subjects(ANN) == ['home', 'no name']
        assert b'() "/" Lists/hato' in b'|'.join(imap(server, ANN).lsub()[1])


def test_an_administrator_acts_as_a_user(server):
    imaplib.IMAP4(server.address, server.ports['imap']).login(f'{BOB}*{ADMIN}', 'secret')  # which does not quote the name
    admin = imap(server, f'{BOB}*{ADMIN}')
    ok(admin.append('INBOX', None, None, message(ADMIN, BOB, 'left by an administrator').encode()))
    assert 'left by an administrator' in server.subjects(BOB)
    server.wait_log(f'Master log-in: user=<{BOB}>, master_user=<{ADMIN}>')
    server.wait_log(f'Master session: user=<{BOB}>, master_user=<{ADMIN}>')
    for user, password in ((f'{BOB}*{ADMIN}', 'wrong'), (f'{BOB}*{ANN}', 'secret'), (f'nobody@example.test*{ADMIN}', 'secret')):
        with pytest.raises(imaplib.IMAP4.error):
            imap(server, user, password)
    # and sets limits
    server.hato('account', 'quota', BOB, '10M')
    ok(admin.setquota(BOB, '(STORAGE 20480 MESSAGE 1000)'))
    assert b'STORAGE' in ok(imap(server, BOB).getquotaroot('INBOX'))[1][0] and b'20480 MESSAGE' in ok(imap(server, BOB).getquota(BOB))[0]
    server.hato('account', 'quota', BOB, 'none')


def test_last_logins(server):
    name = new_account(server, 'dora@example.test')
    show = lambda: json.loads(server.hato('account', 'show', name, '--json').stdout)
    assert 'last_login' not in show() and ' never' in server.hato('account', 'show', name).stdout
    imap(server, name)
    told = show()  # at once, although log-ins are written down together, after some time
    assert told.get('last_login_protocol') == 'imap' and told['last_login_from'] == server.address, told


# Limits

def refused(server, to):
    """The reply to RCPT; edge may have known for two seconds that there was room: then it comes behind the message."""
    def once():
        try:
            server.send('x@else.test', [to], message('x@else.test', to, 'too much'))
        except smtplib.SMTPDataError as e:
            assert e.smtp_code in (452, 552)
        except smtplib.SMTPRecipientsRefused as e:
            return e.recipients[to]
    return wait_until(once, 20, 'a refusal', every=0.5)


def test_a_full_account_refuses_at_rcpt_and_its_owner_was_warned(server):
    name = new_account(server, 'eve@example.test')
    server.hato('account', 'quota', name, 'none', '--messages', '5')
    for k in range(4):
        server.send('x@else.test', [name], message('x@else.test', name, f'number {k}'))
    warning = 'メールボックスの使用量が 80 % になりました'
    subject = lambda m: str(email.header.make_header(email.header.decode_header(m['Subject'])))
    mail = server.wait_message(name, lambda m: warning in subject(m), 60)
    code, text = refused(server, name)
    assert code == 452 and b'4.2.2' in text and b'Mailbox is full' in text
    server.hato('alias', 'add', 'also-eve@example.test', name)
    assert refused(server, 'also-eve@example.test')[0] == 452
    body = mail.get_payload(decode=True).decode()
    assert mail['auto-submitted'] == 'auto-generated' and f'The mailbox of {name} is 80 % full' in body and '不要なメールを削除し' in body
    i = imap(server, name)
    assert b'OVERQUOTA' in i.append('INBOX', None, None, b'Subject: a\r\n\r\nb\r\n')[1][0]
    ok(i.select())
    ok(i.store('1', '+FLAGS', r'(\Deleted)'))
    ok(i.expunge())
    server.send('x@else.test', [name], message('x@else.test', name, 'again'))
    assert 'again' in server.subjects(name)


def test_grace_for_the_message_that_fills_it(server):
    name = new_account(server, 'frank@example.test')
    server.hato('account', 'quota', name, '100000')
    server.send('x@else.test', [name], message('x@else.test', name, 'nearly', ('x' * 70 + '\n') * 1340))
    server.send('x@else.test', [name], message('x@else.test', name, 'beyond', ('x' * 70 + '\n') * 80))
    assert sorted(server.subjects(name))[:2] == ['beyond', 'nearly']
    assert refused(server, name)[0] == 452


def test_a_domain_has_limits_of_its_own(server):
    one, two = new_account(server, 'one@small.test'), new_account(server, 'two@small.test')
    server.send('x@else.test', [one], message('x@else.test', one, 'before'))
    server.hato('domain', 'quota', 'small.test', 'none', '--messages', '3')
    three = new_account(server, 'three@small.test')
    show = lambda: json.loads(server.hato('domain', 'quota', 'small.test', '--json').stdout)
    assert show()['messages'] == 1
    server.send('x@else.test', [two], message('x@else.test', two, 'second'))
    server.send('x@else.test', [three], message('x@else.test', three, 'third'))
    assert show()['messages'] == 3
    assert refused(server, one)[0] == 452 and refused(server, three)[0] == 452
    i = imap(server, two)
    assert b'small.test (MESSAGE 3 3)' in ok(i.getquotaroot('INBOX'))[1][0]
    ok(i.select())
    ok(i.store('1', '+FLAGS', r'(\Deleted)'))
    ok(i.expunge())
    assert show()['messages'] == 2
    server.hato('account', 'del', three, '--yes')
    assert show()['messages'] == 1
    server.hato('domain', 'quota', 'small.test', 'none')
    assert show()['quota_messages'] == 0
    server.send('x@else.test', [one], message('x@else.test', one, 'free'))


def test_old_messages_leave_by_themselves(tmp_path):
    server = Instance(tmp_path, main='imapd_tls_security_level = none\nautoexpunge_trash = 1s\nquota_full_reject = yes\n').start()
    server.account(ANN)
    i = imap(server, ANN)
    ok(i.create('Noise'))
    server.hato('folder', 'autoexpunge', ANN, 'Noise', '1s')
    server.hato('folder', 'autoexpunge', ANN, 'Junk', '30d')
    for box in ('Trash', 'Noise', 'Junk', 'INBOX'):
        ok(i.append(box, None, '"01-Jan-2001 00:00:00 +0000"', message(ANN, ANN, 'old by its date').encode()))
    i.logout()
    assert {r['name']: r['autoexpunge'] for r in listed(server, 'folder', 'list', ANN)}['Junk'] == '30d'
    time.sleep(1.1)
    server.stop()
    server.start()
    wait_until(lambda: 'old messages removed' in server.log(), 20, 'the task')
    assert [len(server.subjects(ANN, box)) for box in ('Trash', 'Noise', 'Junk', 'INBOX')] == [0, 0, 1, 1]
    server.hato('account', 'quota', ANN, 'none', '--messages', '1')
    code, text = refused(server, ANN)
    assert code == 552 and b'5.2.2' in text
    assert not server.finish()
