# SPDX-License-Identifier: Apache-2.0
"""What a book about Postfix teaches, in its order (S136–S167): mail to oneself, aliases, one way out for everything, the queue,
a second MX, and no relaying for strangers. Commands and files as the reader types them."""
import contextlib, glob, mailbox, os, pwd, re, subprocess, time
import pytest
from around import *
import hato

pytestmark = pytest.mark.root
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_connect_timeout = 5s\n'
DEST = 'mydomain = book.test\nmyorigin = $mydomain\nmydestination = $myhostname, localhost.$mydomain, localhost, $mydomain\n'


@contextlib.contextmanager
def unix_user(folder):
    """A user of this machine with a home in the folder; gone afterwards."""
    name = f'hs{os.getpid() % 100000}x{int(time.time() * 1000) % 10000}'
    home = f'{folder}/home-{name}'
    subprocess.run(['useradd', '-m', '-d', home, '-s', '/bin/sh', name], check=True, capture_output=True)
    try:
        yield name, home
    finally:
        subprocess.run(['userdel', '-f', name], capture_output=True)


def tool(server, name, *args, input=None, user=None, check=True):
    command = [os.path.join(os.path.dirname(hato.HATO), name), '-C' if name in ('sendmail', 'mailq', 'newaliases') else '-c', server.folder, *args]
    if user:
        command = ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups', *command]
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60 * SLOW,
                          stdin=None if input is not None else subprocess.DEVNULL)
    assert not check or done.returncode == 0, f'{command}: {done.returncode} {done.stderr}{done.stdout}\n{server.log()[-2000:]}'
    return done


def mbox(folder, name):
    path = f'{folder}/spool-{name}'
    return list(mailbox.mbox(path)) if os.path.exists(path) else []


@pytest.fixture
def local(folder, hosts):
    """A server that delivers to users of this machine, into the folder."""
    os.makedirs(folder + '/mail', mode=0o1777)
    os.chmod(folder + '/mail', 0o1777)
    with open(folder + '/aliases', 'w') as f:
        f.write('postmaster: root\n')

    def make(main=''):
        return hosts('mail.book.test', f'{DEST}mail_spool_directory = {folder}/mail\nalias_maps = hash:{folder}/aliases\n'
                                       f'alias_database = $alias_maps\n{HASTE}{main}')
    return make


def wait_file(path, truth=lambda text: True, seconds=20, log=lambda: ''):
    def there():
        with contextlib.suppress(OSError), open(path) as f:
            text = f.read()
            return text if text and truth(text) else None
    return wait_until(there, seconds, lambda: f'{path}\n{log()[-2500:]}')


def test_mail_to_oneself(folder, local):
    server = local()
    with unix_user(folder) as (name, home):
        tool(server, 'sendmail', '-t', '-i', user=name, input=f'To: {name}\nSubject: myself\n\nhello\n.\nFrom here\n')
        text = wait_file(f'{folder}/mail/{name}', log=server.log)
        assert re.match(rf'From {name}@book\.test  \w{{3}} \w{{3}} [ \d]\d ', text)
        assert f'Delivered-To: {name}@book.test' in text and f'X-Original-To: {name}@book.test' in text
        assert '\n.\n>From here\n\n' in text
        info = os.stat(f'{folder}/mail/{name}')
        assert info.st_uid == pwd.getpwnam(name).pw_uid and info.st_mode & 0o777 == 0o600
        assert f'Received: by mail.book.test' in text and re.search(r'from userid \d+', text)


def test_maildir_and_an_unknown_user(folder, local):
    server = local('home_mailbox = Maildir/\n')
    with unix_user(folder) as (name, home):
        with server.dialogue() as talk:
            talk.ehlo()
            talk.envelope('x@far.test', f'{name}@book.test')
            code, text = talk.say('RCPT TO:<nobody-of-that-name@book.test>')
            assert code == 550 and 'User unknown in local recipient table' in text
            talk.say('DATA', 354)
            talk.say('Subject: maildir\r\n\r\nx\r\n.', 250)
        wait_until(lambda: glob.glob(home + '/Maildir/new/*'), 20, server.log)


def test_forward(folder, local):
    server = local()
    with unix_user(folder) as (name, home):
        with open(home + '/.forward', 'w') as f:
            f.write(f'\\{name}, "|cat > {home}/piped", {home}/copy\n')
        os.chown(home + '/.forward', pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
        tool(server, 'sendmail', '-i', '-f', 'x@far.test', name, input='Subject: forward\n\nx\n')
        for path in (f'{folder}/mail/{name}', home + '/piped', home + '/copy'):
            wait_file(path, lambda t: 'Subject: forward' in t, log=server.log)
        assert os.stat(home + '/piped').st_uid == pwd.getpwnam(name).pw_uid


def test_aliases(folder, local):
    server = local('allow_mail_to_commands = alias, forward\n')
    with unix_user(folder) as (name, home):
        with open(folder + '/list', 'w') as f:
            f.write(f'{name}\nnobody-there@far.invalid\n')
        with open(folder + '/aliases', 'a') as f:
            f.write(f'info: {name}\nteam: info, "|cat > {folder}/mail/team"\nlist: :include:{folder}/list\nowner-list: info\nloop: loop2\nloop2: loop\n')
        time.sleep(0.2)
        tool(server, 'newaliases')
        assert tool(server, 'postalias', '-q', 'info', f'hash:{folder}/aliases').stdout.strip() == name
        tool(server, 'sendmail', 'team', input='Subject: for the team\n\nx\n')
        wait_file(f'{folder}/mail/{name}', lambda t: 'for the team' in t, log=server.log)
        wait_file(f'{folder}/mail/team', lambda t: 'for the team' in t, log=server.log)
        tool(server, 'sendmail', '-f', name, 'loop', input='Subject: circle\n\nx\n')
        wait_file(f'{folder}/mail/{name}', lambda t: 'Undelivered' in t, log=server.log)


def test_everything_to_one_server(hosts, dns, sink):
    first, second = sink(address=own_address(), port=25), sink(address=own_address(), port=25)
    names = dns(f'gate.test MX 10 elsewhere.test.\nout.gate.test A {first.address}\nback.gate.test A {second.address}\n')
    server = hosts('mail.book.test', f'{DEST}relayhost = [out.gate.test]\nsmtp_fallback_relay = [back.gate.test]\nsmtp_connection_cache_on_demand = no\n{HASTE}', dns=names)
    tool(server, 'sendmail', '-f', 'x@book.test', 'someone@anywhere.test', input='Subject: out\n\nx\n')
    wait_until(lambda: first.messages, 20, server.log)
    first.stop()
    tool(server, 'sendmail', '-f', 'x@book.test', 'someone@anywhere.test', input='Subject: out again\n\nx\n')
    wait_until(lambda: second.messages, 20, server.log)


def test_the_queue_by_hand(hosts, dns, sink):
    far = sink(address=own_address(), port=25)
    names = dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\n')
    server = hosts('mail.book.test', DEST + 'minimal_backoff_time = 300s\nqueue_run_delay = 300s\n', dns=names)
    assert tool(server, 'mailq').stdout == 'Mail queue is empty\n'
    far.stop()
    for n in range(3):
        tool(server, 'sendmail', '-f', 'x@book.test', 'someone@far.test', input=f'Subject: waits {n}\n\ntext {n}\n')
    wait_until(lambda: server.log().count('status=deferred') >= 3, 20, server.log)
    listing = tool(server, 'postqueue', '-p').stdout
    ids = re.findall(r'^([0-9A-Za-z]+) ', listing, re.M)[-3:]
    assert len(ids) == 3 and '-- 1 Kbytes in 3 Requests.' in listing or re.search(r'-- \d+ Kbytes in 3 Requests\.', listing), listing
    assert 'Connection refused' in listing and 'someone@far.test' in listing
    assert 'text 0' in tool(server, 'postcat', '-q', ids[0]).stdout + tool(server, 'postcat', '-q', ids[1]).stdout + tool(server, 'postcat', '-q', ids[2]).stdout
    assert 'postsuper: Deleted: 1 message' in tool(server, 'postsuper', '-d', ids[0]).stderr
    assert 'Placed on hold: 1 message' in tool(server, 'postsuper', '-h', ids[1]).stderr
    assert re.search(rf'^{ids[1]}!', tool(server, 'mailq').stdout, re.M)
    far.start()
    tool(server, 'postqueue', '-f')
    wait_until(lambda: len(far.messages) == 1, 20, server.log)
    tool(server, 'postsuper', '-H', ids[1])
    tool(server, 'postqueue', '-f')
    wait_until(lambda: len(far.messages) == 2, 20, server.log)
    wait_until(lambda: tool(server, 'mailq').stdout == 'Mail queue is empty\n', 20)


def test_a_second_mx_keeps_mail_for_the_first(folder, hosts, dns, sink):
    first = sink(address=own_address(), port=25)
    names = dns(f'book.test MX 10 mx1.book.test.\nbook.test MX 20 mx2.book.test.\nmx1.book.test A {first.address}\nmx2.book.test A 127.0.0.1\n')
    server = hosts('mx2.book.test', f'mydestination = $myhostname\nrelay_domains = book.test\nrelay_recipient_maps = inline:{{ann@book.test=x}}\n{HASTE}',
                   dns=names, networks='127.0.0.2/32')
    first.stop()
    with server.dialogue() as talk:
        talk.ehlo()
        talk.envelope('x@far.test', 'ann@book.test')
        code, text = talk.say('RCPT TO:<nobody@book.test>')
        assert code == 550 and 'User unknown in relay recipient table' in text
        talk.say('DATA', 354)
        talk.say('Subject: kept\r\n\r\nx\r\n.', 250)
    server.wait_log('status=deferred')
    first.start()
    wait_until(lambda: first.messages, 20, server.log)


def test_no_relay_for_strangers(hosts):
    server = hosts('mail.book.test', DEST, networks='127.0.0.2/32')
    with server.dialogue() as talk:
        talk.ehlo()
        talk.say('MAIL FROM:<x@far.test>', 250)
        assert talk.say('RCPT TO:<y@elsewhere.test>')[1] == '554 5.7.1 <y@elsewhere.test>: Relay access denied'
    server.wait_log(r'NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 <y@elsewhere\.test>: Relay access denied; '
                     r'from=<x@far\.test> to=<y@elsewhere\.test> proto=ESMTP helo=<client\.test>')


def test_the_commands_of_the_book(hosts):
    server = hosts('mail.book.test', DEST)
    assert tool(server, 'postconf', '-h', 'myhostname').stdout == 'mail.book.test\n'
    assert 'mydomain = book.test' in tool(server, 'postconf', '-n').stdout
    tool(server, 'postconf', '-e', 'smtpd_banner = $myhostname ESMTP book')
    tool(server, 'postfix', 'check')
    tool(server, 'postfix', 'reload')
    wait_until(lambda: 'ESMTP book' in str(server.dialogue().banner), 10)
    assert tool(server, 'postfix', 'status').returncode == 0
    tool(server, 'postfix', 'stop')
    assert tool(server, 'postfix', 'status', check=False).returncode != 0
