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


RHEL6 = '''
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/libexec/postfix
mail_owner = postfix
inet_interfaces = localhost
inet_protocols = all
mydestination = $myhostname, localhost.$mydomain, localhost
unknown_local_recipient_reject_code = 550
alias_maps = hash:@/aliases
alias_database = hash:@/aliases
debug_peer_level = 2
debugger_command =
	 PATH=/bin:/usr/bin:/usr/local/bin:/usr/X11R6/bin
	 ddd $daemon_directory/$process_name $process_id & sleep 5
sendmail_path = /usr/sbin/sendmail.postfix
newaliases_path = /usr/bin/newaliases.postfix
mailq_path = /usr/bin/mailq.postfix
setgid_group = postdrop
html_directory = no
manpage_directory = /usr/share/man
sample_directory = /usr/share/doc/postfix-2.6.6/samples
readme_directory = /usr/share/doc/postfix-2.6.6/README_FILES
virtual_maps = hash:@/virtual
fallback_relay = [back.far.test]
smtpd_use_tls = no
smtp_use_tls = no
smtpd_recipient_restrictions = permit_mynetworks, check_relay_domains
smtpd_client_restrictions = permit_mynetworks, reject_unknown_client
'''
INNER = '''
pickup    {pipe}  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      {pipe}  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
	-o {fallback}=
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
'''
RHEL7 = RHEL6.replace('postfix-2.6.6', 'postfix-2.10.1').replace('virtual_maps', 'virtual_alias_maps').replace('fallback_relay', 'smtp_fallback_relay') + \
    'smtp_tls_per_site = hash:@/per_site\nsmtpd_sasl_security_options = noanonymous\nsmtpd_client_connection_limit_exceptions = $mynetworks\n'
FREEBSD11 = RHEL7.replace('smtpd_use_tls = no', 'compatibility_level = 2').replace('/usr/', '/usr/local/') + \
    'meta_directory = /usr/local/libexec/postfix\nshlib_directory = /usr/local/lib/postfix\npostscreen_blacklist_action = ignore\n'


@pytest.mark.parametrize('text, pipe, fallback, told', [
    (RHEL6, 'fifo', 'fallback_relay', ('virtual_maps', 'fallback_relay')),
    (RHEL7, 'fifo', 'smtp_fallback_relay', ('smtpd_client_connection_limit_exceptions',)),
    (FREEBSD11, 'unix', 'smtp_fallback_relay', ('postscreen_blacklist_action',))], ids=['2.6', '2.10', '3.2'])
def test_files_of_old_releases(folder, hosts, dns, sink, text, pipe, fallback, told):
    """S136: main.cf and master.cf as RHEL 6, RHEL 7 and FreeBSD 11 had them, with names of those days: they load as they are, and act."""
    far, back = sink(address=own_address(), port=25), sink(address=own_address(), port=25)
    names = dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\nback.far.test A {back.address}\n')
    for name, lines in (('aliases', 'info: ann@far.test\n'), ('virtual', 'old.test anything\ninfo@old.test bob@far.test\n'), ('per_site', 'far.test NONE\n')):
        with open(f'{folder}/{name}', 'w') as f:
            f.write(lines)
    server = hosts('mail.book.test', start=False, dns=names)
    server.configure(f'{text}queue_directory = @/spool\nconnection_cache_status_update_time = 600s\n{HASTE}smtp_connection_cache_on_demand = no\n'.replace('@', folder),
                     f'127.0.0.1:{server.ports["smtp"]} inet n - n - - smtpd\n' + INNER.format(pipe=pipe, fallback=fallback))
    done = server.hato('check', check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and 'error' not in said, said
    server.start()
    for name in told:
        assert re.search(rf'warning: \S+main.cf, line \d+: {name}\b', said), said
    server.send('x@far.test', ['info@mail.book.test', 'info@old.test'], message('x@far.test', 'info@old.test', 'both', 'x\n'))
    wait_until(lambda: sorted(to for m in far.messages for to in ([m[1]] if isinstance(m[1], str) else m[1])) == ['ann@far.test', 'bob@far.test'],
               20, lambda: f'{far.messages}\n{server.log()[-2000:]}')
    far.stop()
    server.send('x@far.test', 'info@mail.book.test', message('x@far.test', 'info@mail.book.test', 'away', 'x\n'))
    wait_until(lambda: back.messages, 20, server.log)


def test_the_other_servers_of_a_domain(hosts, dns, sink):
    """S156: the lowest preference first, its servers in turn; a domain without MX by its address, one with the null MX never."""
    ones = [sink(address=own_address(), port=25) for _ in range(2)]
    far, plain = sink(address=own_address(), port=25), sink(address=own_address(), port=25)
    names = dns('far.test MX 10 a.far.test.\nfar.test MX 10 b.far.test.\nfar.test MX 20 c.far.test.\n'
                f'a.far.test A {ones[0].address}\nb.far.test A {ones[1].address}\nc.far.test A {far.address}\n'
                f'plain.test A {plain.address}\nnull.test MX 0 .\nnull.test A {plain.address}\n')
    server = hosts('mail.book.test', f'{DEST}smtp_connection_cache_on_demand = no\n{HASTE}', dns=names)
    for n in range(24):
        tool(server, 'sendmail', '-f', 'x@book.test', 'someone@far.test', input=f'Subject: {n}\n\nx\n')
    wait_until(lambda: sum(len(one.messages) for one in ones) == 24, 30, server.log)
    assert all(one.messages for one in ones) and not far.messages  # one chance in 8 million that it was drawn so
    for one in ones:
        one.stop()
    tool(server, 'sendmail', '-f', 'x@book.test', 'someone@far.test', input='Subject: third\n\nx\n')
    wait_until(lambda: far.messages, 30, server.log)
    tool(server, 'sendmail', '-f', 'x@book.test', 'someone@plain.test', input='Subject: plain\n\nx\n')
    wait_until(lambda: plain.messages, 20, server.log)
    tool(server, 'sendmail', '-f', 'x@book.test', 'someone@null.test', input='Subject: null\n\nx\n')
    server.wait_log(r'to=<someone@null\.test>.*dsn=5\.1\.10, status=bounced')
    assert len(plain.messages) == 1


def test_from_others(folder, local):
    """S163: the port, the domains that are ours and who may come, each line as the reader adds it."""
    server = local('')
    with unix_user(folder) as (name, _):
        def rcpt(to, sender='x@far.test', helo='EHLO mail.far.test'):
            with server.dialogue() as talk:
                talk.say(helo)
                code, text = talk.say(f'MAIL FROM:<{sender}>')
                return talk.say(f'RCPT TO:<{to}>') if code == 250 else (code, text)
        assert rcpt(f'{name}@book.test')[0] == 250 and rcpt(f'{name}@mail.book.test')[0] == 250
        assert rcpt('nobody-here@book.test') == (550, '550 5.1.1 <nobody-here@book.test>: Recipient address rejected: User unknown in local recipient table')
        server.networks = '127.0.0.2/32'
        to = f'{name}@book.test'
        for line, asked, said in (
                ('mydestination = $myhostname\n', (to,), f'554 5.7.1 <{to}>: Relay access denied'),  # at once, though it was ours a moment ago
                ('smtpd_helo_required = yes\nsmtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname\n',
                 (to, 'x@far.test', 'EHLO here'), '504 5.5.2 <here>: Helo command rejected: need fully-qualified hostname'),
                ('smtpd_sender_restrictions = reject_non_fqdn_sender\n', (to, 'x@far'),
                 '504 5.5.2 <x@far>: Sender address rejected: need fully-qualified address'),
                ('smtpd_client_restrictions = check_client_access inline:{127.0.0.1=REJECT}\n', (to,),
                 '554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied')):
            server.configure(f'{DEST}alias_maps = hash:{folder}/aliases\n{line}')
            tool(server, 'postfix', 'reload')
            assert rcpt(*asked)[1] == said, line


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
