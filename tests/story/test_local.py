# SPDX-License-Identifier: Apache-2.0
"""Mail for users of this machine: mailbox files, Maildirs, programs, .forward; as Postfix's local(8), virtual(8), pipe(8)."""
import email, os, pwd, re, stat, subprocess
import pytest
from around import *
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
    box = wait_until(lambda: 'second' in read(path) and read(path), 20, lambda: 'the mailbox:\n' + h.log())
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
    h.wait_log('settings of .* are in use')
    h.send('x@example.org', 'nobody-at-all@example.test', text('for the relay'))
    wait_until(lambda: 'for the relay' in read(f'{h.spool}/{ann.name}'), 20, lambda: 'the mail:\n' + h.log())


def test_mailbox_command(local, users):
    ann = users('ann')
    h = local('mailbox_command = cat > "$HOME/got" && env > "$HOME/env" && id -u > "$HOME/uid"\nrecipient_delimiter = +\n')
    h.send('sender@example.org', f'{ann.name}+ext@example.test', text())
    wait_until(lambda: ann.read('uid'), 20, lambda: 'the command to run:\n' + h.log())
    assert ann.read('uid').strip() == str(ann.uid)
    assert ann.read('got').startswith('From sender@example.org  ')
    env = dict(l.split('=', 1) for l in ann.read('env').splitlines() if '=' in l)
    assert env['USER'] == env['LOGNAME'] == ann.name and env['HOME'] == ann.home and env['SHELL'] == '/bin/sh'
    assert env['EXTENSION'] == 'ext' and env['DOMAIN'] == 'example.test' and env['LOCAL'] == f'{ann.name}+ext'
    assert env['SENDER'] == 'sender@example.org' and env['RECIPIENT'] == f'{ann.name}+ext@example.test'
    assert env['CLIENT_ADDRESS'] == '127.0.0.1' and env['CLIENT_PROTOCOL'] in ('ESMTP', 'SMTP') and env['PATH']


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
    assert re.search(r'hato/virtual\[\d+\]: \w+: to=<info@v\.test>, relay=virtual, .*\(delivered to maildir\)', h.log())


def test_pipe_transport(local, users, folder):
    runner = users('run')
    runner.write('take', '#!/bin/sh\nprintf "%s\\n" "$@" > $0.args; id -u > $0.uid; cat > $0.mail\n', 0o755)
    table = f'{folder}/transport'
    with open(table, 'w') as f:
        f.write('fax.test taker:line1\n')
    h = local(f'transport_maps = texthash:{table}\nrelay_domains = fax.test\n',
              f'taker unix - n n - - pipe flags=DRhu user={runner.name} argv={runner.home}/take ${{sender}} ${{nexthop}} '
              '${user} ${extension} ${recipient} ${queue_id}\n')
    h.send('a@B.test', 'Ann+X@FAX.test', text('by program'))
    wait_until(lambda: 'by program' in runner.read('take.mail'), 20, lambda: 'the program:\n' + h.log())
    args = runner.read('take.args').split('\n')
    assert args[:2] == ['a@B.test', 'line1'] and args[4] == 'ann+x@fax.test', args
    assert runner.read('take.uid').strip() == str(runner.uid)
    assert runner.read('take.mail').startswith('Return-Path: <a@B.test>\nDelivered-To: ')
    h.wait_log(r'hato/pipe\[\d+\]: \w+: to=<[^>]*>, relay=taker, .*status=sent \(delivered via taker service\)')


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
    h.wait_log('settings of .* are in use')
    assert os.path.exists(path)
