# SPDX-License-Identifier: Apache-2.0
"""Mail for users of this machine: mailbox files, Maildirs, programs, .forward; as Postfix's local(8), virtual(8), pipe(8)."""
import email, os, pwd, re, smtplib, stat, subprocess
import pytest
from around import *
from postfix import Postfix
from unixuser import UnixUser

pytestmark = pytest.mark.root

DELIVERY = '''
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
'''


@pytest.fixture
def users(folder):
    made = []

    def make(word='u'):
        made.append(UnixUser(folder, word))
        return made[-1]
    yield make
    for user in made:
        user.gone()


@pytest.fixture
def local(hosts, folder):
    """make(main, master): an instance whose domain example.test is that of Unix users."""
    def make(main='', master='', **more):
        spool = f'{folder}/spool'
        os.makedirs(spool, exist_ok=True)
        os.chmod(spool, 0o1777)
        h = hosts(main=f'compatibility_level = 3.11\nmydestination = example.test, $myhostname\nmail_spool_directory = {spool}\nalias_maps =\n'
                       f'queue_directory = {folder}/queue\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n{main}',
                  start=False, **more)
        h.spool = spool
        h.configure(master=f'{h.address}:{h.ports["smtp"]} inet n - n - - smtpd\n{DELIVERY}{master}')
        return h.start()
    return make


def text(subject='one', more=''):
    return f'From: ann@example.org\r\nTo: you@example.test\r\nSubject: {subject}\r\n{more}\r\nFrom the start\r\nend\r\n'


def read(path):
    try:
        with open(path, errors='replace') as f:
            return f.read()
    except OSError:
        return ''


def test_mbox_in_spool(local, users):
    ann, h = users('ann'), local()
    for subject in 'first', 'second':
        h.send('sender@example.org', f'{ann.name}@example.test', text(subject))
    path = f'{h.spool}/{ann.name}'
    box = wait_until(lambda: read(path).count('\nend\n') == 2 and read(path), 20, lambda: 'the mailbox:\n' + h.log())
    assert re.match(rf'From sender@example\.org  \w+ \w+ [ \d]\d \d\d:\d\d:\d\d \d{{4}}\nReturn-Path: <sender@example\.org>\n'
                    rf'X-Original-To: {ann.name}@example\.test\nDelivered-To: {ann.name}@example\.test\nReceived: ', box)
    assert '\n>From the start\nend\n\nFrom sender@example.org' in box
    st = os.stat(path)
    assert st.st_uid == ann.uid and stat.S_IMODE(st.st_mode) == 0o600
    h.wait_log(rf'hato/local\[\d+\]: \w+: to=<{ann.name}@example\.test>, relay=local, .*dsn=2\.0\.0, status=sent '
               r'\(delivered to mailbox\)')


def test_maildir_in_home(local, users):
    ann, h = users('ann'), local('home_mailbox = Maildir/\nrecipient_delimiter = +\n')
    h.send('', f'{ann.name.upper()}+tag@example.test', text())
    wait_until(ann.maildir, 20, lambda: 'a message in Maildir:\n' + h.log())
    m = ann.maildir()[0]
    assert m.startswith(f'Return-Path: <>\nX-Original-To: {ann.name.upper()}+tag@example.test\nDelivered-To: ')
    assert '\nFrom the start\n' in m
    assert all(os.stat(ann.path(p)).st_uid == ann.uid for p in ('Maildir', 'Maildir/new', 'Maildir/tmp'))
    h.wait_log(r'status=sent \(delivered to maildir\)')


def test_unknown_user_bounces_or_goes_elsewhere(local, users):
    ann, h = users('ann'), local('local_recipient_maps =\n')
    h.send(f'{ann.name}@example.test', 'nobody-at-all@example.test', text())
    wait_until(lambda: 'Undelivered Mail' in read(f'{h.spool}/{ann.name}'), 20, lambda: 'the bounce:\n' + h.log())
    assert 'unknown user: "nobody-at-all"' in read(f'{h.spool}/{ann.name}')
    assert re.search(r'dsn=5\.1\.1, status=bounced \(unknown user: "nobody-at-all"\)', h.log())
    h.configure(main=h.extra_main + f'luser_relay = {ann.name}+lost\nrecipient_delimiter = +\n',
                master=read(h.folder + '/master.cf'))
    h.hato('reload')
    h.wait_log('reload -- version')
    h.send('x@example.org', 'nobody-at-all@example.test', text('for the relay'))
    wait_until(lambda: 'for the relay' in read(f'{h.spool}/{ann.name}'), 20, lambda: 'the mail:\n' + h.log())


def test_mailbox_command(local, users):
    ann = users('ann')
    h = local('mailbox_command = cat > "$HOME/got" && env > "$HOME/env" && id -u > "$HOME/uid"\nrecipient_delimiter = +\n')
    h.send('sender@example.org', f'{ann.name}+ext@example.test', text(), options=['ENVID=a+2Bb+20c'])
    wait_until(lambda: ann.read('uid'), 20, lambda: 'the command to run:\n' + h.log())
    assert ann.read('uid').strip() == str(ann.uid)
    assert ann.read('got').startswith('From sender@example.org  ')
    env = dict(l.split('=', 1) for l in ann.read('env').splitlines() if '=' in l)
    assert env['USER'] == env['LOGNAME'] == ann.name and env['HOME'] == ann.home and env['SHELL'] == '/bin/sh'
    assert env['EXTENSION'] == 'ext' and env['DOMAIN'] == 'example.test' and env['LOCAL'] == f'{ann.name}+ext'
    assert env['SENDER'] == 'sender@example.org' and env['RECIPIENT'] == f'{ann.name}+ext@example.test'
    assert env['CLIENT_ADDRESS'] == '127.0.0.1' and env['CLIENT_PROTOCOL'] in ('ESMTP', 'SMTP') and env['PATH']
    assert env['ENVID'] == 'a+b_c'  # command_expansion_filter has no blank


@pytest.mark.parametrize('limit', [1, 2])
def test_deliveries_to_one_user_at_one_time(local, users, limit):
    """Each command waits until as many have begun as may run."""
    ann = users('ann')
    h = local(f'mailbox_command = cat > /dev/null; echo begin >> $HOME/log; until [ "$(grep -c begin $HOME/log)" -ge {limit} ]; do sleep 0.1; done; '
              f'sleep 0.2; echo end >> $HOME/log\nlocal_destination_concurrency_limit = {limit}\n')
    for n in range(4):
        h.send('x@else.test', f'{ann.name}@example.test', text(str(n)))
    wait_until(lambda: ann.read('log').count('end') == 4, 60, h.log)
    running = most = 0
    for word in ann.read('log').split():
        running += 1 if word == 'begin' else -1
        most = max(most, running)
    assert most == limit


def test_command_exit_codes(local, users):
    ann = users('ann')
    h = local(f'mailbox_command = sh "$HOME/decide"\n')
    ann.write('decide', 'if test -e $HOME/ready; then cat > $HOME/got; else echo come back; exit 75; fi\n')
    h.send('x@example.org', f'{ann.name}@example.test', text())
    h.wait_log(r'dsn=4\.3\.0, status=deferred \(temporary failure\. Command output: come back\)')
    ann.write('ready', '')
    wait_until(lambda: ann.read('got'), 20, 'the second try')
    ann.write('decide', 'echo 5.7.1 not for me; exit 1\n')
    h.send(f'{ann.name}@example.test', f'{ann.name}@example.test', text())
    h.wait_log(r'dsn=5\.7\.1, status=bounced \(not for me\)')


def test_forward(local, users):
    ann, bob = users('ann'), users('bob')
    h = local('home_mailbox = Mailbox\n')
    ann.write('.forward', f'\\{ann.name}, {bob.name}, "|cat > {ann.home}/piped; id -u >> {ann.home}/piped", {ann.home}/file\n')
    h.send('x@example.org', f'{ann.name}@example.test', text('to all'))
    wait_until(lambda: 'to all' in ann.read('Mailbox') and 'to all' in bob.read('Mailbox') and 'to all' in ann.read('file') and
               'to all' in ann.read('piped'), 20, lambda: 'all four:\n' + h.log())
    assert ann.read('piped').endswith(f'{ann.uid}\n')
    got = email.message_from_string(bob.read('Mailbox').split('\n', 1)[1])
    assert got.get_all('Delivered-To') == [f'{bob.name}@mail.example.test', f'{ann.name}@example.test']
    time.sleep(0.5)
    assert ann.read('Mailbox').count('Subject: to all') == 1 == bob.read('Mailbox').count('Subject: to all')


def test_forward_circle_ends(local, users):
    ann, bob, carl = users('ann'), users('bob'), users('carl')
    h = local('home_mailbox = Mailbox\n')
    ann.write('.forward', f'{bob.name}@example.test\n')
    bob.write('.forward', f'{ann.name}@example.test\n')
    h.send(f'{carl.name}@example.test', f'{ann.name}@example.test', text('round'))
    wait_until(lambda: 'mail forwarding loop' in carl.read('Mailbox'), 20, lambda: 'the bounce:\n' + h.log())


def test_mailbox_full_and_locked(local, users):
    ann = users('ann')
    h = local('mailbox_size_limit = 2000\nmessage_size_limit = 1500\nlocal_recipient_maps =\ndeliver_lock_attempts = 2\ndeliver_lock_delay = 1s\n')
    path = f'{h.spool}/{ann.name}'
    with open(path, 'w') as f:
        f.write('x' * 1900 + '\n')
    os.chown(path, ann.uid, ann.gid)
    os.chmod(path, 0o600)
    h.send('x@example.org', f'{ann.name}@example.test', text())
    h.wait_log(rf'dsn=5\.2\.2, status=bounced \(cannot update mailbox {path} for user {ann.name}\. error writing message: File too large')
    assert read(path) == 'x' * 1900 + '\n'
    os.remove(path)
    lock = path + '.lock'
    open(lock, 'w').close()
    h.send('x@example.org', f'{ann.name}@example.test', text('late'))
    h.wait_log(r'dsn=4\.2\.0, status=deferred .*unable to create lock file')
    assert not os.path.exists(path)
    os.remove(lock)
    wait_until(lambda: 'late' in read(path), 20, lambda: 'the mail:\n' + h.log())


def test_virtual_mailboxes(local, users, folder):
    keeper = users('vmail')
    h = local(f'virtual_mailbox_domains = v.test\nvirtual_mailbox_base = {keeper.home}\n'
              f'virtual_mailbox_maps = inline:{{info@v.test=v.test/info/,box@v.test=boxes}}\n'
              f'virtual_uid_maps = static:{keeper.uid}\nvirtual_gid_maps = static:{keeper.gid}\n')
    h.send('x@example.org', ['info@v.test', 'box@v.test'], text('for both'))
    wait_until(lambda: keeper.maildir('v.test/info') and 'for both' in keeper.read('boxes'), 20, lambda: 'both:\n' + h.log())
    m = keeper.maildir('v.test/info')[0]
    assert m.startswith('Return-Path: <x@example.org>\nX-Original-To: info@v.test\nDelivered-To: info@v.test\n')
    h.wait_log(r'hato/virtual\[\d+\]: \w+: to=<info@v\.test>, relay=virtual, .*\(delivered to maildir\)')


def test_pipe_transport(local, users, folder):
    runner = users('run')
    runner.write('take', '#!/bin/sh\nprintf "%s\\n" "$@" > $0.args; id -u > $0.uid; cat > $0.mail\n', 0o755)
    table = f'{folder}/transport'
    with open(table, 'w') as f:
        f.write('fax.test taker:line1\n')
    h = local(f'transport_maps = texthash:{table}\nrelay_domains = fax.test\n',
              f'taker unix - n n - - pipe flags=DRhu user={runner.name} argv={runner.home}/take ${{sender}} ${{nexthop}} '
              '${user} ${extension} ${recipient} ${queue_id} ${envid}\n')
    h.send('a@B.test', 'Ann+X@FAX.test', text('by program'), options=['ENVID=a+2Bb+20c'])
    wait_until(lambda: 'by program' in runner.read('take.mail'), 20, lambda: 'the program:\n' + h.log())
    args = runner.read('take.args').split('\n')
    assert args[:2] == ['a@B.test', 'line1'] and args[6] == 'a+b c' and args[4] == 'ann+x@fax.test', args
    assert runner.read('take.uid').strip() == str(runner.uid)
    assert runner.read('take.mail').startswith('Return-Path: <a@B.test>\nDelivered-To: ')
    h.wait_log(r'hato/pipe\[\d+\]: \w+: to=<[^>]*>, relay=taker, .*status=sent \(delivered via taker service\)')


def test_services_for_users_who_are_not_there(local, users):
    """As in Debian's master.cf: told when mail wants one of them, and not before."""
    ann = users('ann')
    h = local('relay_domains = drop.test\ntransport_maps = inline:{drop.test=maildrop:}\n',
              'maildrop unix - n n - - pipe flags=DRXhu user=nosuchuser argv=/usr/bin/maildrop -d ${recipient}\n')
    h.send('a@b.test', f'{ann.name}@example.test', text('first'))
    wait_until(lambda: 'first' in read(f'{h.spool}/{ann.name}'), 20, lambda: 'the mail:\n' + h.log())
    assert 'nosuchuser' not in h.log()
    h.send('a@b.test', 'x@drop.test', text('second'))
    h.wait_log(r'to=<x@drop\.test>.*status=deferred \(service maildrop: unknown username: nosuchuser\)')
    assert 'error: service maildrop: unknown username: nosuchuser' in h.log()


def test_a_user_who_comes_to_be(local, users, folder):
    """user= is looked up at each delivery: what waits for him is taken as soon as he is there, without a reload."""
    later, seen = users('later'), folder + '/seen'
    os.makedirs(seen)
    os.chmod(seen, 0o777)
    subprocess.run(['userdel', later.name], check=True, capture_output=True)
    h = local('relay_domains = drop.test\ntransport_maps = inline:{drop.test=later:}\n',
              f'later unix - n n - - pipe flags=R user={later.name} argv=/bin/sh -c {{{{ id -u; cat; }} > {seen}/taken}}\n')
    h.send('a@b.test', 'x@drop.test', text('for whom'))
    h.wait_log(rf'to=<x@drop\.test>.*status=deferred \(service later: unknown username: {later.name}\)')
    subprocess.run(['useradd', '-M', '-d', later.home, later.name], check=True, capture_output=True)
    h.hato('queue', 'flush')
    h.wait_log(r'to=<x@drop\.test>.*status=sent \(delivered via later service\)')
    assert read(seen + '/taken').startswith(f'{pwd.getpwnam(later.name).pw_uid}\n')


def test_spawn_service(local, users, folder):
    runner = users('run')
    runner.write('policy', '#!/bin/sh\nwhile read line && test -n "$line"; do :; done; echo "action=DUNNO `id -u`"; echo\n', 0o755)
    port = free_port()
    h = local('', f'policy unix - n n - 0 spawn user={runner.name} argv={runner.home}/policy\n'
                  f'127.0.0.1:{port} inet n n n - 0 spawn user={runner.name} argv={runner.home}/policy\n')
    path = f'{folder}/queue/private/policy'
    for kind, where in ((socket.AF_UNIX, path), (socket.AF_INET, ('127.0.0.1', port))):
        with socket.socket(kind) as s:
            s.settimeout(20)
            s.connect(where)
            s.sendall(b'request=smtpd_access_policy\n\n')
            got = b''
            while piece := s.recv(4096):
                got += piece
        assert got == f'action=DUNNO {runner.uid}\n\n'.encode()
    h.hato('reload')
    h.wait_log('reload -- version')
    assert os.path.exists(path)


# Beside Postfix: the same message into the same kind of place.

def plain(box):
    """A delivered message without what must differ: times, and who received it by which id."""
    box = re.sub(r'^From (.*)  \w{3} .*$', r'From \1  TIME', box, flags=re.M)
    box = re.sub(r'^Received: .*\n(?:[ \t].*\n)+', 'Received: X\n', box, flags=re.M)
    return re.sub(r'^(Message-ID: ).*$|^(Date: ).*$', r'\1\2X', box, flags=re.M | re.I)


PLACES = {
    'mbox in the spool': ('', None, '{spool}/{user}'),
    'mbox in the home': ('home_mailbox = Mailbox\n', None, '{home}/Mailbox'),
    'Maildir': ('home_mailbox = Maildir/\n', None, '{home}/Maildir/new'),
    'Maildir in the spool': ('mail_spool_directory = {spool}/\n', None, '{spool}/{user}/new'),
    'command': ('mailbox_command = cat > $HOME/got\n', None, '{home}/got'),
    'forward to a command': ('', '"|cat > {home}/got"\n', '{home}/got'),
    'forward to a file': ('', '{home}/file\n', '{home}/file'),
    'forward to a Maildir': ('', '{home}/dir/\n', '{home}/dir/new'),
}
SENDERS = {'x@example.org': '', '': '', '"odd user"@example.org': '+Ext'}


def place(path):
    if os.path.isdir(path):
        names = [f'{path}/{n}' for n in os.listdir(path)]
        return read(names[0]) if names else ''
    return read(path)


@pytest.mark.parametrize('kind', PLACES)
def test_same_as_postfix(local, users, folder, kind):
    main, forward, where = PLACES[kind]
    got = {}
    for who in 'postfix', 'hato':
        base = f'{folder}/{who}'
        os.makedirs(base)
        os.chmod(base, 0o755)
        user = users('same')
        names = dict(home=user.home, user=user.name, spool=f'{base}/spool')
        os.makedirs(names['spool'])
        os.chmod(names['spool'], 0o1777)
        settings = ('recipient_delimiter = +\nlocal_recipient_maps =\n' +
                    ('' if 'Maildir in' in kind else 'mail_spool_directory = {spool}\n'.format(**names)) + main.format(**names))
        if forward:
            user.write('.forward', forward.format(**names))
        if who == 'hato':
            server = local(settings)
            port, log = server.ports['smtp'], server.log
        else:
            port = free_port()
            server = Postfix(base, 'mail.example.test', port=port, tls=False,
                             main='mydestination = example.test\nvirtual_mailbox_domains =\n' + settings)
            with open(base + '/etc/master.cf', 'a') as f:
                f.write('local unix - n n - - local\n')
            server.start()
            log = server.log
        path = where.format(**names)
        for sender, extension in SENDERS.items():
            with smtplib.SMTP('127.0.0.1', port, timeout=30) as s:
                s.ehlo('client.test')
                s.docmd('MAIL', f'FROM:<{sender}>')
                assert s.docmd('RCPT', f'TO:<{user.name}{extension}@example.test>')[0] == 250
                assert s.data('From: ann@example.org\r\nDate: now\r\nMessage-ID: <1@x>\r\nSubject: one\r\n\r\n'
                              'From me\r\n>From\r\n.dot\r\nend')[0] == 250
            text = wait_until(lambda: '\nend' in place(path) and place(path), 20, lambda: f'{who}: {path}\n' + log())
            time.sleep(0.1)
            got[who, sender] = plain(place(path)).replace(user.name, 'USER')
            if os.path.isdir(path):
                for n in os.listdir(path):
                    os.remove(f'{path}/{n}')
            else:
                os.remove(path)
        server.stop()
    for sender in SENDERS:
        assert got['hato', sender] == got['postfix', sender]


# LMTP in: other servers and filters deliver into our own accounts.

def test_lmtp_server(hosts, folder):
    h = hosts(accounts=['ann@example.test', 'bob@example.test'], start=False,
              main=f'queue_directory = {folder}/queue\ncompatibility_level = 3.11\n',
              services={'smtp': 'smtpd', 'lmtp': 'lmtpd', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'})
    h.configure(master=read(h.folder + '/master.cf') + 'lmtp unix n - n - - lmtpd\n')
    h.hato('account', 'quota', 'bob@example.test', '300')
    h.start()
    with h.dialogue('lmtp') as d:
        d.say('EHLO x', 500)
        assert 'PIPELINING' in d.say('LHLO x', 250)[1]
        d.say('MAIL FROM:<x@example.org>', 250)
        d.say('RCPT TO:<ann@example.test>', 250)
        d.say('RCPT TO:<nobody@example.test>', 550)
        d.say('RCPT TO:<bob@example.test>', 250)
        d.say('DATA', 354)
        d.raw(text('by lmtp', 'X-Pad: ' + 'x' * 400 + '\r\n') + '.\r\n')
        assert d.reply()[0] == 250
        assert d.reply() == (452, '452 4.2.2 Mailbox is full')
        d.say('QUIT', 221)
    h.wait_message('ann@example.test', 'by lmtp')
    assert 'with LMTP id' in h.messages('ann@example.test')[0]['Received']
    assert h.subjects('bob@example.test') == []
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(f'{folder}/queue/public/lmtp')
        f = s.makefile('rwb')
        assert f.readline().startswith(b'220 ')
        f.write(b'LHLO x\r\n')
        f.flush()
        while f.readline()[3:4] == b'-':
            pass
        f.write(b'MAIL FROM:<>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n')
        f.flush()
        replies = b''
        while b'354' not in replies:
            line = f.readline()
            assert line, replies
            replies += line
        f.write(text('by socket').encode() + b'.\r\nQUIT\r\n')
        f.flush()
        assert f.readline().startswith(b'250 2.0.0')
    h.wait_message('ann@example.test', 'by socket')


def test_lmtp_out_and_in(hosts, folder):
    """One instance hands mail to another over LMTP, as mailbox_transport and transport_maps do."""
    os.makedirs(f'{folder}/queue', exist_ok=True)
    inner = hosts(accounts=['ann@inner.test'], start=False, main=f'queue_directory = {folder}/queue\n',
                  services={'smtp': 'smtpd', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'})
    inner.configure(master=read(inner.folder + '/master.cf') + 'inlet unix n - n - - lmtpd\n')
    inner.start()
    outer = hosts(start=False, host='outer.test', main=f'relay_domains = inner.test\ncompatibility_level = 3.11\n'
                  f'transport_maps = inline:{{inner.test=lmtp:unix:{folder}/queue/public/inlet}}\n')
    outer.configure(master=f'{outer.address}:{outer.ports["smtp"]} inet n - n - - smtpd\n{DELIVERY}')
    outer.start()
    outer.send('x@example.org', 'ann@inner.test', text('through both'))
    inner.wait_message('ann@inner.test', 'through both')
    outer.wait_log(r'hato/lmtp\[\d+\]: \w+: to=<ann@inner\.test>, relay=\S*inlet\S*, .*status=sent \(250 2\.0\.0')


# master.cf: postscreen.

def screened(hosts, main, **more):
    h = hosts(start=False, accounts=['ann@example.test'], services={'smtp': 'postscreen', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'},
              main=f'compatibility_level = 3.11\npostscreen_greet_wait = 1s\npostscreen_access_list =\n{main}', **more)
    h.configure(master=read(h.folder + '/master.cf') + 'smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\n'
                'tlsproxy unix - - n - 0 tlsproxy\n')
    return h.start()


def test_postscreen_lets_patient_clients_in(hosts):
    h = screened(hosts, 'postscreen_greet_action = enforce\n')
    before = time.monotonic()
    h.send('x@example.org', 'ann@example.test', text('patient'))
    assert time.monotonic() - before >= 1
    h.wait_message('ann@example.test', 'patient')
    h.wait_log(r'hato/postscreen\[\d+\]: CONNECT from \[127\.0\.0\.1\]:\d+ to \[127\.0\.0\.1\]:\d+')
    h.wait_log(r'hato/postscreen\[\d+\]: PASS NEW \[127\.0\.0\.1\]:\d+')
    before = time.monotonic()
    h.send('x@example.org', 'ann@example.test', text('again'))
    assert time.monotonic() - before < 1
    h.wait_log(r'PASS OLD \[127\.0\.0\.1\]')


@pytest.mark.parametrize('action', ['enforce', 'drop', 'ignore'])
def test_postscreen_and_the_hasty(hosts, action):
    h = screened(hosts, f'postscreen_greet_action = {action}\nsmtpd_forbid_unauth_pipelining = no\n')
    with socket.create_connection((h.address, h.ports['smtp']), 20) as s:
        f = s.makefile('rb')
        s.sendall(b'EHLO spam.test\r\n')
        assert f.readline().startswith(b'220-mail.example.test ESMTP')
        h.wait_log(r'hato/postscreen\[\d+\]: PREGREET 16 after \S+ from \[127\.0\.0\.1\]:\d+: EHLO spam\.test\\r\\n')
        if action == 'drop':
            assert f.readline() == b'521 5.5.1 Protocol error\r\n' and f.readline() == b''
            h.wait_log(r'hato/postscreen\[\d+\]: DISCONNECT \[127\.0\.0\.1\]')
            return
        assert f.readline().startswith(b'220 mail.example.test ESMTP')
        while f.readline()[3:4] == b'-':
            pass
        s.sendall(b'MAIL FROM:<x@example.org>\r\n')
        assert f.readline().startswith(b'250')
        s.sendall(b'RCPT TO:<ann@example.test>\r\n')
        assert f.readline().startswith(b'550 5.5.1 Protocol error' if action == 'enforce' else b'250')
    assert 'PASS' not in h.log()


def test_postscreen_access_list(hosts, folder):
    table = f'{folder}/access.cidr'
    with open(table, 'w') as f:
        f.write('127.0.0.1/32 reject\n')
    h = screened(hosts, '', networks='192.0.2.0/24')
    h.configure(main=h.extra_main.replace('access_list =', f'access_list = permit_mynetworks, cidr:{table}') +
                'postscreen_denylist_action = drop\n', master=read(h.folder + '/master.cf'))
    h.hato('reload')
    h.wait_log('reload -- version')
    with socket.create_connection((h.address, h.ports['smtp']), 20) as s:
        assert s.makefile('rb').read() == b'521 5.3.2 Service currently unavailable\r\n'
    h.wait_log(r'DENYLISTED \[127\.0\.0\.1\]')
    with open(table, 'w') as f:
        f.write('127.0.0.1/32 permit\n')
    os.utime(table, (1, 1))
    wait_until(lambda: b'220 mail' in socket_line(h), 10, lambda: 'the greeting\n' + h.log())
    h.wait_log(r'ALLOWLISTED \[127\.0\.0\.1\]')


def socket_line(h):
    with socket.create_connection((h.address, h.ports['smtp']), 20) as s:
        return s.makefile('rb').readline()


# Content filters: mail goes out to a program and comes back on a port of its own.

AFTER_FILTER = ('-o content_filter= -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters '
                '-o smtpd_helo_restrictions= -o smtpd_client_restrictions= -o smtpd_sender_restrictions= '
                '-o smtpd_relay_restrictions= -o smtpd_recipient_restrictions=permit_mynetworks,reject -o mynetworks=127.0.0.0/8 '
                '-o smtpd_authorized_xforward_hosts=127.0.0.0/8')


def filtering(hosts, users, transport, **more):
    h = hosts(start=False, accounts=['ann@example.test'],
              services={'smtp': 'smtpd', 'back': f'smtpd {AFTER_FILTER}', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'},
              main=f'compatibility_level = 3.11\ncontent_filter = {transport}\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n')
    h.configure(master=read(h.folder + '/master.cf') + DELIVERY + more.get('master', ''))
    return h.start()


def test_content_filter_over_smtp(hosts, users, sink):
    proxy = sink()
    h = filtering(hosts, users, f'scan:[127.0.0.1]:{proxy.port}',
                  master='scan unix - - n - 10 smtp -o smtp_send_xforward_command=yes -o disable_mime_output_conversion=yes\n')
    h.send('x@example.org', ['ann@example.test', 'other@example.test'][:1], text('to be looked at'))
    sender, recipients, content = wait_until(lambda: proxy.messages and proxy.messages[0], 20, h.log)
    assert h.subjects('ann@example.test') == []
    with h.smtp('back') as s:
        s.sendmail(sender, recipients, 'X-Looked-At: yes\r\n' + (content if isinstance(content, str) else content.decode()))
    m = h.wait_message('ann@example.test', 'to be looked at')
    assert m['X-Looked-At'] == 'yes' and len(m.get_all('Received')) == 2
    h.wait_log(r'hato/smtp\[\d+\]: \w+: to=<ann@example\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent')


def test_time_limits_of_programs(local, users):
    """NAME_time_limit of main.cf, of the line's own -o, and command_time_limit where there is none."""
    runner = users('pipeslow')
    runner.write('slow', '#!/bin/sh\nsleep 30\n', 0o755)
    h = local('transport_maps = inline:{one.test=one:, two.test=two:, three.test=three:}\nrelay_domains = one.test, two.test, three.test\n'
              'one_time_limit = 1s\ncommand_time_limit = 600s\n',
              ''.join(f'{name} unix - n n - - pipe {option} flags=R user={runner.name} argv={runner.home}/slow\n'
                      for name, option in (('one', ''), ('two', '-o two_time_limit=2s'), ('three', '-o command_time_limit=3s'))))
    for n, name in enumerate(['one', 'two', 'three'], 1):
        h.send('ann@example.test', f'x@{name}.test', text(name))
        line = h.wait_log(rf'relay={name}, delay=([0-9.]+), .*dsn=5\.3\.0, status=bounced \(Command time limit exceeded: "{runner.home}/slow"\)')
        assert n <= float(line[1]) < n + 8 * SLOW


def test_content_filter_by_pipe(hosts, users):
    """The simple filter of FILTER_README: a script that hands the mail back with sendmail."""
    runner = users('filter')
    h = filtering(hosts, users, 'filter:dummy', master=f'filter unix - n n - 10 pipe flags=Rq user={runner.name} null_sender= '
                  f'argv={runner.home}/filter -f ${{sender}} -- ${{recipient}}\n')
    runner.write('filter', '#!/usr/bin/python3\nimport smtplib, sys\n'
                 f's = smtplib.SMTP("127.0.0.1", {h.ports["back"]})\n'
                 'text = sys.stdin.read()\n'
                 'if "EVIL" in text:\n    print("5.7.1 evil is not delivered")\n    sys.exit(69)\n'
                 's.sendmail(sys.argv[2], sys.argv[4:], "X-Filtered: by pipe\\n" + text)\n', 0o755)
    h.send('x@example.org', 'ann@example.test', text('clean'))
    assert h.wait_message('ann@example.test', 'clean')['X-Filtered'] == 'by pipe'
    h.send('ann@example.test', 'ann@example.test', text('EVIL one'))
    h.wait_log(r'dsn=5\.7\.1, status=bounced \(evil is not delivered\)')
    assert h.wait_log(r'hato/pipe\[\d+\]: \w+: to=<ann@example\.test>, relay=filter, .*\(delivered via filter service\)')


def test_full_disk(local, users, folder):
    """Nothing of a message is left in the mailbox, and it comes when there is room again."""
    ann = users('ann')
    small = f'{folder}/small'
    os.makedirs(small)
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k,mode=1777', 'tmpfs', small], capture_output=True)
    if mounted.returncode:
        pytest.skip('mounts are not allowed here')
    try:
        h = local(f'mail_spool_directory = {small}\n')
        path = f'{small}/{ann.name}'
        h.send('x@example.org', f'{ann.name}@example.test', text('fits'))
        wait_until(lambda: 'fits' in read(path), 20, h.log)
        before = read(path)
        with open(f'{small}/ballast', 'wb') as f:
            f.write(b'x' * 40000)
        h.send('x@example.org', f'{ann.name}@example.test', text('too much') + 'x' * 70 + ('\r\n' + 'y' * 70) * 500)
        h.wait_log(r'dsn=4\.3\.0, status=deferred \(cannot update mailbox .* error writing message: No space left on device\)')
        assert read(path) == before
        os.remove(f'{small}/ballast')
        wait_until(lambda: 'too much' in read(path), 20, lambda: h.log()[-2000:])
        assert read(path).count('Subject: too much') == 1
        h.stop()
    finally:
        subprocess.run(['umount', '-l', small])


def test_success_notices_say_delivered(local, users):
    ann, bob = users('ann'), users('bob')
    h = local()
    with h.smtp() as s:
        s.ehlo('client.test')
        s.docmd('MAIL', f'FROM:<{bob.name}@example.test>')
        s.docmd('RCPT', f'TO:<{ann.name}@example.test> NOTIFY=SUCCESS')
        assert s.data(text())[0] == 250
    report = wait_until(lambda: 'Action: ' in read(f'{h.spool}/{bob.name}') and read(f'{h.spool}/{bob.name}'), 20, h.log)
    assert 'Action: delivered' in report


def test_services_can_be_disabled(local, users, folder):
    ann = users('ann')
    port = free_port()
    h = local('master_service_disable = !policy.unix, spawn.unix unix-dgram\n',
              f'policy unix - n n - 0 spawn user={ann.name} argv=/bin/cat\nspawn unix - n n - 0 spawn user={ann.name} argv=/bin/cat\n')
    assert os.listdir(f'{folder}/queue/private') == ['policy'], port


AMAVIS = next((p for p in ('/usr/sbin/amavisd-new', '/usr/sbin/amavisd') if os.path.exists(p)), None)


@pytest.mark.skipif(AMAVIS is None, reason='amavisd-new is not installed')
def test_content_filter_amavis(hosts, users, folder):
    """The lines of amavis' README.postfix: out to port 10024 with XFORWARD, back on another."""
    port, home = free_port(), f'{folder}/amavis'
    h = filtering(hosts, users, f'amavis:[127.0.0.1]:{port}',
                  master='amavis unix - - n - 2 smtp -o smtp_data_done_timeout=1200 -o smtp_send_xforward_command=yes '
                         '-o disable_dns_lookups=yes -o max_use=20\n')
    for sub in 'tmp', 'var', 'db':
        os.makedirs(f'{home}/{sub}')
    subprocess.run(['chown', '-R', 'amavis:amavis', home], check=True)
    with open(f'{folder}/amavisd.conf', 'w') as f:
        f.write(f'''use strict;
$max_servers = 1; $daemon_user = 'amavis'; $daemon_group = 'amavis';
$MYHOME = '{home}'; $TEMPBASE = '{home}/tmp'; $db_home = '{home}/db'; $helpers_home = '{home}/var'; $QUARANTINEDIR = undef;
$lock_file = '{home}/var/lock'; $pid_file = '{home}/var/pid'; $enable_db = 0; $do_syslog = 0; $LOGFILE = '{home}/var/log';
$inet_socket_bind = '127.0.0.1'; $inet_socket_port = {port}; @inet_acl = qw(127.0.0.1); $unix_socketname = undef;
$forward_method = 'smtp:[127.0.0.1]:{h.ports["back"]}'; $notify_method = $forward_method;
@bypass_virus_checks_maps = (1); @bypass_spam_checks_maps = (1); $final_bad_header_destiny = D_PASS;
$mydomain = 'example.test'; $myhostname = 'filter.example.test'; @local_domains_maps = (['.']);
1;
''')
    amavis = subprocess.Popen([AMAVIS, '-c', f'{folder}/amavisd.conf', 'foreground'], stdin=subprocess.DEVNULL,
                              stdout=open(f'{folder}/amavis.out', 'wb'), stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_port(port, seconds=60)
        h.send('x@example.org', 'ann@example.test', text('through amavis'))
        m = h.wait_message('ann@example.test', 'through amavis', 60)
        assert any('filter.example.test' in r for r in m.get_all('Received')), m.get_all('Received')
        h.wait_log(r'to=<ann@example\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent \(250 2\.0\.0 from MTA')
    finally:
        kill(descendants([amavis.pid]))
        amavis.wait(10)
