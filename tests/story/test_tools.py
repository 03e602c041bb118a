# SPDX-License-Identifier: Apache-2.0
"""The programs with Postfix's names: sendmail, mailq, postqueue, postsuper, postcat, postlog, postfix; as root, and as
somebody who is nobody here."""
import email, glob, gzip, json, os, pwd, re, shutil, signal, subprocess, tempfile, time
import pytest
from around import *
from hato import SERVICES, Instance

pytestmark = pytest.mark.core
ANN, BOB = 'ann@example.test', 'bob@example.test'
BIN = os.path.dirname(HATO)
root = pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')


class Tools(Instance):
    def tool(self, name, *args, input='', user=None, code=0, env=None):
        extra = {'user': user, 'group': pwd.getpwnam(user).pw_gid, 'extra_groups': []} if user else {}
        done = subprocess.run([f'{BIN}/{name}', *args], input=input, capture_output=True, text=True, cwd='/', timeout=60 * SLOW,
                              env={**self.env, 'MAIL_CONFIG': self.folder, **(env or {})}, **extra)
        assert code is None or done.returncode == code, f'{name} {args}: exit {done.returncode}: {done.stderr}{done.stdout}'
        return done

    def sendmail(self, *args, text='Subject: x\n\nhello\n', **more):
        return self.tool('sendmail', *args, input=text, **more)

    def listed(self):
        return [json.loads(line) for line in self.tool('postqueue', '-j').stdout.splitlines()]

    def waiting(self, count):
        """The queue, when each of so many messages was tried once."""
        return wait_until(lambda: len(self.listed()) == count and all(r.get('delay_reason') for m in self.listed() for r in m['recipients'])
                          and self.listed(), 20, lambda: f'{count} tried messages: {self.listed()}')


@pytest.fixture
def server(sink):
    folder = tempfile.mkdtemp(prefix='hato-tools-', dir='/var/tmp')  # where everybody may pass
    os.chmod(folder, 0o755)
    busy = sink(banner='421 4.3.2 too busy')
    instance = Tools(folder, main=f'relayhost = [127.0.0.1]:{busy.port}\nminimal_backoff_time = 300s\nmyorigin = example.test\n'
                     'fast_flush_domains = far.test\n')
    for address in (ANN, BOB, 'nobody@example.test', 'root@example.test'):
        instance.account(address)
    instance.start()
    instance.busy = busy
    yield instance
    problems = instance.finish()
    shutil.rmtree(folder, ignore_errors=True)
    assert not problems, '\n'.join(problems)


def one(server, user=ANN):
    found = server.messages(user)
    assert len(found) == 1, [str(m) for m in found]
    return found[0]


# sendmail

def test_sendmail(server):
    server.sendmail('-f', BOB, ANN, text='Subject: first\n\nline\n.\nnot this\n')
    m = one(server)
    assert m['Subject'] == 'first' and m.get_payload() == 'line\r\n' and m['Return-Path'] == f'<{BOB}>'
    assert re.match(r'by mail\.example\.test \(.*, from userid 0\)\s+id \w+; ', m['Received'])
    assert m['Date'] and m['Message-ID'] and BOB in m['From']
    server.wait_log(r'hato/pickup\[\d+\]: \w+: uid=0 from=<bob@example\.test>')


def test_sendmail_dots_and_lines(server):
    server.sendmail('-i', ANN, text='From someone Mon Jan  1 00:00:00 2024\nSubject: a\r\nX: y\r\n z\n\none\r\n.\ntwo\rthree\n')
    m = one(server)
    assert m['Subject'] == 'a' and m['X'].split() == ['y', 'z'] and m.get_payload() == 'one\r\n.\r\ntwo three\r\n'


def test_sendmail_without_header(server):
    server.sendmail('-oi', ANN, text='just text\n')
    assert one(server).get_payload() == 'just text\r\n'


def test_sendmail_recipients_from_header(server):
    text = f'To: Ann <{ANN}>,\n (c) "x, y" <{BOB}>\nBcc: nobody\nSubject: t\n\nhi\n'
    server.sendmail('-t', '-f', BOB, text=text)
    for user in (ANN, BOB, 'nobody@example.test'):
        m = one(server, user)
        assert m['Subject'] == 't' and m['Bcc'] is None


def test_sendmail_resent(server):
    server.sendmail('-t', text=f'To: {BOB}\nSubject: t\nResent-To: {ANN}\n\nhi\n')
    one(server)
    assert server.messages(BOB) == []


@root
def test_sendmail_names(server):
    server.sendmail('-F', 'Bob "the" Builder', '-f', BOB, ANN, user='nobody')
    name, address = email.utils.parseaddr(one(server)['From'])
    assert (name, address) == ('Bob "the" Builder', BOB)
    server.sendmail(BOB, user='nobody')
    m = one(server, BOB)
    assert email.utils.parseaddr(m['From']) == ('nobody', 'nobody@example.test') and m['Return-Path'] == '<nobody@example.test>'
    server.wait_log(r'uid=65534 from=<nobody>')


@pytest.mark.parametrize('down', [False, True])
def test_sendmail_as_the_settings_say(server, down):
    """header_from_format, sendmail_fix_line_endings: with the server, and when it is down."""
    server.stop()
    with open(f'{server.folder}/main.cf', 'a') as f:
        f.write('header_from_format = obsolete\nsendmail_fix_line_endings = strict\n')
    if not down:
        server.start()
    server.sendmail('-F', 'Bob (the) Builder', '-f', BOB, ANN, text='Subject: x\n\none\r\ntwo\n')
    server.sendmail('-f', ANN, BOB, text='Subject: x\r\n\r\none\r\ntwo\n')
    if down:
        server.start()
    m = server.wait_message(ANN, 'x')
    assert m['From'] == f'{BOB} (Bob \\(the\\) Builder)' and m.get_payload() == 'one \r\ntwo\r\n'
    assert server.wait_message(BOB, 'x').get_payload() == 'one\r\ntwo\r\n'


@pytest.mark.parametrize('down', [False, True])
def test_sendmail_full_name_encoding_charset(server, down):
    """Names that are not ASCII: words of RFC 2047 in the charset that the settings say they are in; no SMTPUTF8 is needed."""
    server.sendmail('-F', '鳩 Bob', '-f', BOB, ANN, text='Subject: u\n\nx\n')
    assert server.wait_message(ANN, 'u')['From'] == f'=?utf-8?Q?=E9=B3=A9_Bob?= <{BOB}>'
    for charset, want in (('iso-8859-1', f'=?iso-8859-1?Q?J=FCrgen?= <{BOB}>'), ('no charset', BOB)):
        server.stop()
        with open(f'{server.folder}/main.cf', 'a') as f:
            f.write(f'full_name_encoding_charset = {charset}\n')
        if not down:
            server.start()
        server.sendmail('-F', b'J\xfcrgen', '-f', BOB, ANN, text=f'Subject: {charset}\n\nx\n')
        if down:
            server.start()
        assert server.wait_message(ANN, charset)['From'] == want


def test_sendmail_errors(server):
    for args, text, want in [([], '', r'^sendmail: fatal: root\(0\): Recipient addresses must be specified on the command line or via the -t option$'),
                             (['-t'], 'Subject: x\n\nhi', r'^sendmail: fatal: root\(0\): No recipient addresses found in message header$'),
                             (['-bt'], '', '^sendmail: fatal: unsupported: -bt$'), (['-Xfoo', 'x'], '', '^sendmail: fatal: unsupported: -Xf$'),
                             (['-B', 'x', ANN], '', '^sendmail: fatal: -B option needs 8BITMIME or 7BIT$'),
                             (['-qXx'], '', '^sendmail: fatal: -qX is not implemented$'), (['-oA', ANN], '', '^sendmail: fatal: -oA requires pathname$'),
                             (['-bi', 'x'], '', '^sendmail: fatal: alias initialization mode requires no recipient$'),
                             (['-Y'], '', "^sendmail: invalid option -- 'Y'\nsendmail: fatal: usage: sendmail \\[options\\]$"),
                             ([ANN], 'Subject: x\n\n' + 'x' * 70 + '\n' + 150000 * ('y' * 80 + '\n'), r'^sendmail: fatal: root\(0\): message file too big$')]:
        done = server.sendmail(*args, text=text, code=75)
        assert re.match(want, done.stderr.strip()), (args, done.stderr)
    for args, want in [(['-N', 'foo'], 'warning: unknown DSN NOTIFY command value "foo" in "foo"\nsendmail: warning: bad -N option value -- ignored'),
                       (['-R', 'foo'], 'warning: bad -R option value -- ignored'), (['-V', 'x' * 120], 'warning: too long -V option value -- ignored')]:
        assert server.sendmail(*args, ANN).stderr.strip() == f'sendmail: {want}'
    for args in (['-o7', '-oZ', '-em', '-m', '-n', '-U', '-h', '5', '-L', 'x', '-O', 'a=b', '-Am', '-q30m'], ['-B', '8BITMIME'], ['-R', 'hdrs', '-V', 'a b']):
        assert server.sendmail(*args, ANN).stderr == ''


@pytest.mark.parametrize('args, said', [
    (['-bp', 'x'], 'display queue mode requires no recipient'), (['-bs', 'x'], 'stand-alone mode requires no recipient'),
    (['-bi', 'x'], 'alias initialization mode requires no recipient'), (['-bd', 'x'], 'daemon mode requires no recipient'),
    (['-q', 'x'], 'flush queue mode requires no recipient'), (['-t', '-bs'], '-t can be used only in delivery mode'),
    (['-t', '-bp'], '-t can be used only in delivery mode'), (['-t', '-bi'], '-t can be used only in delivery mode'),
    (['-t', '-bv'], '-t option cannot be used with -bv'), (['-N', 'never', '-bv', ANN], '-N option cannot be used with -bv'),
    (['-R', 'full', '-bv', ANN], '-R option cannot be used with -bv')])
def test_sendmail_what_does_not_go_together(server, args, said):
    assert server.sendmail(*args, code=75).stderr == f'sendmail: fatal: {said}\n'


def test_sendmail_odd_values(server):
    """Warned about once, and the mail goes. Behind the first recipient there are no options: a web form may have filled it in."""
    done = server.sendmail('-N', 'bogus', '-R', 'bogus', ANN)
    assert done.stderr.splitlines() == ['sendmail: warning: unknown DSN NOTIFY command value "bogus" in "bogus"', 'sendmail: warning: bad -N option value -- ignored',
                                        'sendmail: warning: bad -R option value -- ignored']
    assert one(server)['Subject'] == 'x'
    assert 'Bad recipient address syntax' in server.sendmail(BOB, '-bp', code=75).stderr


def test_sendmail_unknown_recipient_bounces(server):
    """Whoever called may be gone: what cannot be delivered comes back as mail."""
    assert server.sendmail('-f', BOB, 'nobody-there@example.test').stderr == ''
    m, text = server.wait_bounce(BOB)
    assert 'nobody-there@example.test' in text and '5.1.1' in text


def test_sendmail_smtp(server):
    said = server.tool('sendmail', '-bs', input=f'EHLO x\nMAIL FROM:<{BOB}>\nRCPT TO:<{ANN}>\nDATA\nSubject: bs\n\nhi\n.\nQUIT\n').stdout
    assert re.match(r'220 mail\.example\.test ESMTP', said) and '250 2.0.0 Ok: queued as ' in said and said.rstrip().endswith('221 2.0.0 Bye')
    assert one(server)['Subject'] == 'bs'


def test_sendmail_verifies(server):
    server.hato('alias', 'add', 'team@example.test', ANN, 'x@far.test')
    said = server.sendmail('-bv', '-f', BOB, ANN, 'team@example.test', 'nobody-there@example.test').stdout
    assert said == f'Mail Delivery Status Report will be mailed to <{BOB}>.\n'
    m, text = server.wait_bounce(BOB)
    assert m['Subject'] == 'Mail Delivery Status Report'
    found = {(p['Final-Recipient'], p['Action']) for part in m.walk() if part.get_content_type() == 'message/delivery-status'
             for p in part.get_payload()[1:]}
    assert found == {('rfc822; ' + ANN, 'deliverable'), ('rfc822; x@far.test', 'deliverable'),
                     ('rfc822; nobody-there@example.test', 'undeliverable')}, found
    assert server.messages(ANN) == [] and server.listed() == []


def test_sendmail_names_of_others(server):
    assert server.tool('mailq').stdout == server.tool('sendmail', '-bp').stdout == 'Mail queue is empty\n'
    server.tool('sendmail', '-q')


@root
def test_kept_while_down(server):
    server.stop()
    for user in ('nobody', None):
        assert server.sendmail('-f', BOB, '-F', 'B', ANN, text=f'Subject: by {user}\n\nx\n', user=user).stderr == ''
    drop = server.data + '/maildrop'
    assert len(os.listdir(drop)) == 2 and os.stat(drop).st_mode & 0o7777 == 0o1733
    assert subprocess.run(['ls', drop], user='nobody', capture_output=True).returncode != 0  # nobody looks into it
    server.start()
    wait_until(lambda: len(server.messages(ANN)) == 2, 10, 'both messages')
    assert sorted(server.subjects(ANN)) == ['by None', 'by nobody'] and os.listdir(drop) == []
    server.wait_log('uid=65534 from=<bob@example.test>')
    assert all('example.test' in m['From'] for m in server.messages(ANN))


@root
def test_kept_while_edge_is_away(server):
    """The server runs, but nobody answers at its door: the message goes as soon as somebody does."""
    edge = server.pids('edge')
    for p in edge:
        os.kill(p, signal.SIGKILL)
    server.sendmail(ANN)
    wait_until(lambda: len(server.messages(ANN)) == 1, 20, 'the message')


@root
def test_maildrop_is_hostile(server):
    """What others put there is read as theirs, or not at all."""
    drop = server.data + '/maildrop'
    good = f'EHLO submit\r\nMAIL FROM:<{BOB}>\r\nRCPT TO:<{ANN}>\r\nBDAT 14 LAST\r\nSubject: x\r\n\r\nQUIT\r\n'
    def put(name, text, mode=0o744, user=65534):
        path = f'{drop}/{name}'
        with open(path, 'w', newline='') as f:
            f.write(text)
        os.chown(path, user, user)
        os.chmod(path, mode)
        return path
    put('junk', 'HELO\r\nGARBAGE\r\n' * 100)
    os.symlink('/etc/passwd', drop + '/link')
    os.mkfifo(drop + '/fifo', 0o744)
    os.mkdir(drop + '/dir')
    secret = server.folder + '/secret'
    with open(secret, 'w', newline='') as f:
        f.write(good)
    os.chmod(secret, 0o744)
    os.link(secret, drop + '/hard')
    put('unfinished', good, 0o600)
    put('good', good)
    wait_until(lambda: len(server.messages(ANN)) == 1, 10, 'the message')
    server.wait_log('uid=65534')
    assert set(os.listdir(drop)) >= {'link', 'fifo', 'dir', 'hard', 'unfinished'}
    assert 'uid=0' not in server.log()


@root
def test_authorized_users(server):
    server.configure(main='authorized_submit_users = !nobody, static:anyone\nauthorized_mailq_users = root\nauthorized_flush_users = root')
    server.hato('reload')
    wait_until(lambda: 'not allowed' in server.sendmail(ANN, user='nobody', code=None).stderr, 10, 'the new settings')
    assert re.match(r'sendmail: fatal: User nobody\(65534\) is not allowed to submit mail', server.sendmail(ANN, user='nobody', code=75).stderr)
    assert 'User nobody(65534) is not allowed to view the mail queue' in server.tool('postqueue', '-p', user='nobody', code=69).stderr
    assert 'User nobody(65534) is not allowed to flush the mail queue' in server.tool('postqueue', '-f', user='nobody', code=69).stderr
    server.sendmail(ANN)
    assert server.tool('mailq').stdout == 'Mail queue is empty\n'


# the queue

def test_queue_listing(server):
    server.sendmail('-f', BOB, 'x@far.test', 'y@far.test')
    server.sendmail('-f', '', 'z@else.test')
    queue = server.waiting(2)
    assert list(queue[0]) == ['queue_name', 'queue_id', 'arrival_time', 'message_size', 'forced_expire', 'sender', 'recipients']
    assert queue[0]['queue_name'] == 'deferred' and queue[0]['sender'] == BOB and not queue[0]['forced_expire']
    assert [r['address'] for r in queue[0]['recipients']] == ['x@far.test', 'y@far.test'] and queue[1]['sender'] == 'MAILER-DAEMON'
    lines = server.tool('mailq').stdout.splitlines()
    assert lines[0] == '----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------'
    assert re.match(r'[0-9A-F]{16}  {6}\d{3} \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d bob@example\.test$', lines[1]), lines[1]
    assert lines[2].endswith(')') and '(' in lines[2] and (len(lines[2]) == 78 or not lines[2].startswith(' '))
    assert lines[3:6] == [' ' * 47 + 'x@far.test', ' ' * 47 + 'y@far.test', '']
    assert lines[-2:] == ['', '-- 0 Kbytes in 2 Requests.']


def test_postsuper(server):
    for i in range(3):
        server.sendmail('-f', BOB, f'x{i}@far.test')
    ids = [m['queue_id'] for m in server.waiting(3)]
    def super_(*args, **more):
        return server.tool('postsuper', *args, **more).stderr
    assert super_('-h', ids[0]) == f'postsuper: {ids[0]}: placed on hold\npostsuper: Placed on hold: 1 message\n'
    assert server.tool('mailq').stdout.splitlines()[1].startswith(ids[0] + '! ') and server.listed()[0]['queue_name'] == 'hold'
    assert super_('-h', ids[0]) == 'postsuper: Placed on hold: 0 messages\n'
    assert super_('-H', ids[0]) == f'postsuper: {ids[0]}: released from hold\npostsuper: Released from hold: 1 message\n'
    assert super_('-h', 'NOSUCH') == 'postsuper: Placed on hold: 0 messages\n'
    assert super_('-d', 'bad id') == 'postsuper: warning: invalid mail queue id: bad id\npostsuper: Deleted: 0 messages\n'
    assert super_('-h', 'ALL') == 'postsuper: Placed on hold: 3 messages\n'
    assert super_('-d', 'ALL', 'deferred') == 'postsuper: Deleted: 0 messages\n'
    assert super_('-H', 'ALL', 'hold') == 'postsuper: Released from hold: 3 messages\n'
    assert super_('-d', 'ALL', 'nosuch', code=1) == 'postsuper: fatal: invalid directory name: nosuch\n'
    assert super_('-d', '-', input=f'{ids[0]}\nFOO\n') == f'postsuper: {ids[0]}: removed\npostsuper: Deleted: 1 message\n'
    assert super_('-r', ids[1], '-r', ids[1]) == f'postsuper: {ids[1]}: requeued\npostsuper: Requeued: 1 message\n'  # once
    again = server.waiting(2)  # under another id
    assert ids[1] not in [m['queue_id'] for m in again] and ids[2] in [m['queue_id'] for m in again]
    assert super_('-d', 'ALL') == 'postsuper: Deleted: 2 messages\n'
    assert super_('-d', 'ALL') == 'postsuper: Deleted: 0 messages\n'
    assert super_('-s') == super_('-p') == super_() == ''
    # several actions: in the order of the command line, and counted together at the end
    server.sendmail('-f', BOB, 'x9@far.test')
    one = server.waiting(1)[0]['queue_id']
    assert super_('-h', one, '-H', one, '-h', one, '-d', '-', input=one + '\n') == ''.join(f'postsuper: {line}\n' for line in (
        f'{one}: placed on hold', f'{one}: released from hold', f'{one}: placed on hold', f'{one}: removed', 'Deleted: 1 message',
        'Placed on hold: 2 messages', 'Released from hold: 1 message'))
    server.wait_log(rf'hato/postsuper\[\d+\]: {ids[0]}: removed\n(.*\n)*.*hato/postsuper\[\d+\]: Deleted: 1 message')


def test_expired_by_hand(server):
    server.sendmail('-f', BOB, 'x@far.test')
    queue_id = server.waiting(1)[0]['queue_id']
    assert f'{queue_id}: expired' in server.tool('postsuper', '-e', queue_id).stderr
    assert server.listed()[0]['forced_expire']
    server.tool('postsuper', '-h', queue_id)
    assert server.tool('postsuper', '-f', queue_id).stderr == f'postsuper: {queue_id}: released from hold\n' \
        'postsuper: Force-expired: 0 messages\npostsuper: Released from hold: 1 message\n'
    server.tool('postqueue', '-i', queue_id)
    server.wait_bounce(BOB)
    assert server.listed() == []
    server.wait_log(rf'{queue_id}: from=<{BOB}>, status=force-expired, returned to sender')


@root
def test_queue_is_the_superusers(server):
    server.sendmail('-f', BOB, 'x@far.test')
    queue_id = server.waiting(1)[0]['queue_id']
    assert queue_id in server.tool('mailq', user='nobody').stdout
    done = server.tool('postsuper', '-d', 'ALL', user='nobody', code=1)
    assert done.stderr == 'postsuper: fatal: use of this command is reserved for the superuser\n'
    assert 'Permission denied' in server.tool('postcat', '-q', queue_id, user='nobody', code=1).stderr
    server.tool('postqueue', '-f', user='nobody')
    assert len(server.listed()) == 1


def test_flush(server):
    server.sendmail('-f', BOB, 'x@far.test')
    queue_id = server.waiting(1)[0]['queue_id']
    def tries():
        return len(re.findall(rf'{queue_id}: to=<x@far\.test>.*status=deferred', server.log()))
    for args in (['-f'], ['-i', queue_id], ['-s', 'far.test']):
        before = tries()
        server.tool('postqueue', *args)
        wait_until(lambda: tries() > before, 10, f'another try after {args}')
    assert server.tool('postqueue', '-s', 'else.test', code=69).stderr == 'postqueue: fatal: Flush service is not configured for destination "else.test"\n'
    assert server.tool('postqueue', '-s', '[x]', code=69).stderr == 'postqueue: fatal: Cannot flush mail queue - invalid destination: "[x]"\n'
    assert server.tool('postqueue', '-s', '@@', code=69).stderr == 'postqueue: fatal: Cannot flush mail queue - invalid destination: "@@"\n'
    for call in (('postqueue', '-i', 'a-b'), ('sendmail', '-qIa-b')):
        assert server.tool(*call, code=69).stderr == 'postqueue: fatal: Cannot flush queue ID - invalid name: "a-b"\n'
    assert server.tool('postqueue', '-x', code=69).stderr.splitlines()[-1] == \
        'postqueue: fatal: usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site'


def test_postcat(server):
    server.sendmail('-f', BOB, 'x@far.test', text='Subject: seen\n\nthe body\n')
    queue_id = server.waiting(1)[0]['queue_id']
    lines = server.tool('postcat', '-q', queue_id).stdout.splitlines()
    assert lines[0] == f'*** ENVELOPE RECORDS deferred/{queue_id} ***' and lines[-1] == f'*** MESSAGE FILE END deferred/{queue_id} ***'
    assert lines[-2] == f'*** HEADER EXTRACTED deferred/{queue_id} ***'
    assert f'sender: {BOB}' in lines and 'original_recipient: x@far.test' in lines and 'recipient: x@far.test' in lines
    assert re.match(r'message_arrival_time: \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$', lines[2])
    assert server.tool('postcat', '-b', '-q', queue_id).stdout == '\nthe body\n'
    header = server.tool('postcat', '-h', '-q', queue_id).stdout
    assert 'Subject: seen\n' in header and 'the body' not in header and '***' not in header
    assert '\n' + 'regular_text: the body\n' in server.tool('postcat', '-v', '-b', '-q', queue_id).stdout
    assert server.tool('postcat', '-r', '-q', queue_id).stdout.splitlines() == lines
    assert 'Return-Path' not in header and header.startswith('Received: ')  # what was taken, as Postfix keeps it
    size = len(server.tool('postcat', '-hb', '-q', queue_id).stdout.replace('\n', '\r\n'))
    assert int(lines[1].split()[1]) == size and server.tool('postcat', '-d', '-q', queue_id).stdout.startswith('*** ENV')
    offsets = server.tool('postcat', '-o', '-b', '-q', queue_id).stdout
    at = re.search(r'(\d+) the body', offsets)[1]
    assert server.tool('postcat', '-s', at, '-b', '-q', queue_id).stdout == 'the body\n'
    assert server.tool('postcat', '-s', 'x', '-q', queue_id, code=1).stderr == 'postcat: fatal: bad offset: x\n'
    assert server.tool('postcat', '-q', 'a-b', code=1).stderr == 'postcat: fatal: bad mail queue ID: a-b\n'
    assert server.tool('postcat', '-q', 'NOSUCH', code=1).stderr == 'postcat: fatal: open queue file NOSUCH: No such file or directory\n'


def test_while_down(server):
    server.sendmail('-f', BOB, 'x@far.test')
    queue_id = server.waiting(1)[0]['queue_id']
    server.stop()
    done = server.tool('mailq')
    assert queue_id in done.stdout and done.stderr.startswith('postqueue: warning: Mail system is down -- accessing queue directly')
    assert server.tool('postqueue', '-f', code=69).stderr == 'postqueue: fatal: Cannot flush mail queue - mail system is down\n'
    assert 'Placed on hold: 1 message' in server.tool('postsuper', '-h', queue_id).stderr
    assert f'*** ENVELOPE RECORDS hold/{queue_id} ***' in server.tool('postcat', '-q', queue_id).stdout


# the server and its log

def test_before_the_first_start(folder):
    """No server ever ran here, nobody takes syslog, and the folder of the data is still to be made: what is said goes to the terminal."""
    if os.path.exists('/dev/log'):
        pytest.skip('syslog is there')
    server = Tools(f'{folder}/conf', services={'smtp': SERVICES['smtp']})
    with open(f'{server.folder}/main.cf', 'w') as f:
        f.write(f'compatibility_level = 3.11\ndata_directory = {folder}/data\nqueue_directory = {folder}/spool\n')
    assert 'the Postfix mail system is not running' in server.tool('postfix', 'status', code=1).stderr
    try:
        assert 'starting the Postfix mail system' in server.tool('postfix', 'start').stderr
        server.tool('postfix', 'status')
    finally:
        server.tool('postfix', 'stop')


def test_postfix(server):
    assert server.tool('postfix', 'status').stderr == ''
    server.wait_log(r'hato/postfix-script\[\d+\]: the Postfix mail system is running: PID: \d+')
    assert server.tool('postfix', 'start', code=1)
    server.wait_log(r'fatal: the Postfix mail system is already running')
    server.tool('postfix', 'reload')
    server.tool('postfix', 'flush')
    server.tool('postfix', 'stop')
    assert not server.pids()
    for command in ('status', 'stop', 'reload'):
        server.tool('postfix', command, code=1)
    server.tool('postfix', '-c', server.folder, 'start')
    assert server.pids('edge')
    for args in (['-bd'], ['-bd', '-q30m'], ['-q30m', '-bd'], ['-q30m']):  # old start scripts: it runs already
        server.tool('sendmail', *args)
    server.tool('postfix', 'abort')
    assert not server.pids()
    server.tool('sendmail', '-q30m')
    assert not server.pids()
    server.tool('sendmail', '-bd', '-q30m')
    assert server.pids('edge')
    server.tool('postfix', 'abort')
    server.wait_log(r'hato/postfix-script\[\d+\]: aborting the Postfix mail system')
    server.tool('postfix', 'abort', code=1)
    server.tool('postfix', 'start')
    assert "unknown command: 'foo'. Usage: postfix start (or stop" in server.tool('postfix', 'foo', code=1).stderr


def test_postlog(server):
    server.tool('postlog', '-t', 'mine', 'hello', 'world')
    server.tool('postlog', '-p', 'warn', input='one\ntwo\n')
    server.wait_log(r'mine\[\d+\]: hello world\n(.*\n)*.*hato/postlog\[\d+\]: warning: one\n(.*\n)*.*hato/postlog\[\d+\]: warning: two\n')
    server.tool('postlog', '-p', 'panic', 'the end')
    server.wait_log(r'hato/postlog\[\d+\]: panic: the end\n')
    assert server.tool('postlog', '-p', 'bad', 'x', code=1).stderr == 'postlog: fatal: invalid priority name: bad\n'


def test_names(server):
    """Every name is there, and what hato does not need says so."""
    for name in ('sendmail', 'mailq', 'newaliases', 'postqueue', 'postsuper', 'postcat', 'postlog', 'postfix', 'postconf', 'postmap',
                 'postalias', 'postdrop', 'postkick', 'postlock', 'postmulti'):
        assert os.path.islink(f'{BIN}/{name}')
    assert 'Mail queue is empty' in server.hato('postqueue', '-p').stdout
    for name in ('postdrop', 'postkick', 'postlock', 'postmulti'):
        assert re.match(rf'{name}: fatal: not needed with hato \(.+\)$', server.tool(name, code=69).stderr)


def test_newaliases(server):
    """Nothing is built: what would have been is checked."""
    good, bad = server.folder + '/aliases', server.folder + '/broken'
    with open(good, 'w') as f:
        f.write('postmaster: root\nroot: ann@example.test\n')
    with open(bad, 'w') as f:
        f.write('postmaster: root\nwithout a colon\n')
    server.configure(main=f'alias_database = hash:{good}\nalias_maps = hash:{good}')
    assert server.tool('newaliases', '-C', '/nonexistent', code=75).stderr == 'newaliases: fatal: open /nonexistent/main.cf: No such file or directory\n'
    for call in (('newaliases',), ('sendmail', '-bi'), ('sendmail', '-I'), ('newaliases', f'-oAhash:{good}')):
        assert server.tool(*call).stderr == ''
    done = server.tool('newaliases', f'-oAhash:{bad}', code=None)
    assert 'broken, line 2' in done.stderr and 'need name:value pair' in done.stderr
    with open(bad) as f:
        assert 'without a colon' in f.read()


def test_postfix_logrotate(server):
    """postfix logrotate: the old log is compressed, the server writes into a new one."""
    file = f'{server.folder}/mail.log'
    server.tool('postfix', 'logrotate')
    packed = glob.glob(f'{file}.2*.gz')
    assert len(packed) == 1, os.listdir(server.folder)
    assert b'daemon started' in gzip.open(packed[0]).read() and 'daemon started' not in open(file).read()
    server.send('x@far.test', 'ann@example.test', message('x@far.test', 'ann@example.test', 'afterwards'))
    wait_until(lambda: 'status=sent' in open(file).read(), 20)
    assert 'usage postfix logrotate' in server.tool('postfix', 'logrotate', 'x', code=1).stderr


def test_postfix_tls(server):
    tool = lambda *words, code=0: server.tool('postfix', 'tls', *words, code=code)
    main = lambda: open(f'{server.folder}/main.cf').read()
    with open(f'{server.folder}/main.cf') as f:
        lines = [line for line in f if 'tls' not in line]
    with open(f'{server.folder}/main.cf', 'w') as f:
        f.writelines(lines)
    tool('all-default-client'), tool('all-default-server')
    assert 'Enabled opportunistic TLS in the Postfix SMTP client.' in tool('enable-client').stdout
    assert 'smtp_tls_security_level = may\n' in main()
    tool('all-default-client', code=1)
    before = main()
    assert 'no changes made' in tool('enable-client').stdout and main() == before
    said = tool('enable-server', 'mx.example.test').stdout
    assert said.startswith('Enabled opportunistic TLS in the Postfix SMTP server\nNew TLS private key and certificate deployed.\n')
    key, certificate = (re.search(rf'^smtpd_tls_{kind}_file = (.*)$', main(), re.M).group(1) for kind in ('key', 'cert'))
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert 'DNS:mx.example.test' in subprocess.run(['openssl', 'x509', '-in', certificate, '-noout', '-text'], capture_output=True, text=True).stdout
    record = tool('output-server-tlsa', '-h', 'mx.example.test').stdout.splitlines()
    spki = subprocess.run(f'openssl pkey -in {key} -pubout -outform DER | sha256sum', shell=True, capture_output=True, text=True).stdout[:64]
    assert record == [f'; {key}', f'_25._tcp.mx.example.test. IN TLSA 3 1 1 {spki}']
    time.sleep(1.1)  # files are named by the second
    words = tool('new-server-key', 'other.example.test').stdout.split()
    other, other_key = words[-2:]
    assert 'does not match' in tool('deploy-server-cert', other, key, code=1).stderr
    tool('deploy-server-cert', other, other_key)
    assert f'smtpd_tls_cert_file = {other}\n' in main()
    assert 'openssl req' in tool('output-server-csr', code=1).stderr
    assert 'keys made here are ecdsa' in tool('new-server-key', '-a', 'rsa', code=1).stderr
    assert "unknown tls command: 'foo'" in tool('foo', code=1).stderr


@root
def test_where_the_files_are(server):
    """Without -c: MAIL_CONFIG, HATO_CONFIG, or the first of the usual folders that has a main.cf."""
    asked = [BIN + '/postconf', '-h', 'myhostname']
    empty = {k: v for k, v in os.environ.items() if k not in ('MAIL_CONFIG', 'HATO_CONFIG')}
    for env in ({'MAIL_CONFIG': server.folder}, {'MAIL_CONFIG': server.folder, 'HATO_CONFIG': '/nowhere'}, {'HATO_CONFIG': server.folder}):
        assert subprocess.run(asked, capture_output=True, text=True, env={**empty, **env}).stdout == 'mail.example.test\n'
    for place in ('/etc/postfix', '/usr/local/etc'):
        if not os.path.isdir(place) or os.path.exists('/etc/hato/main.cf'):
            continue
        folder = place if place.endswith('postfix') else place + '/postfix'
        script = f'for d in /etc/postfix {place}; do test ! -d $d || mount -t tmpfs none $d; done; mkdir -p {folder} && ' \
                 f'echo "myhostname = there.example.test" > {folder}/main.cf && : > {folder}/master.cf && exec {" ".join(asked)}'
        done = subprocess.run(['unshare', '-m', 'sh', '-c', script], capture_output=True, text=True, env=empty)
        assert done.stdout == 'there.example.test\n', (place, done)
