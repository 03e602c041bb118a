# SPDX-License-Identifier: Apache-2.0
"""The five processes: what a reload changes and what it leaves alone, who comes back after a fall, whose rights each has,
and what none of them can read."""
import contextlib, json, os, pwd, re, shutil, signal, smtplib, socket, ssl, stat, subprocess, tempfile, time
import pytest
from around import *
from hato import SERVICES, Dialogue

ANN = 'ann@example.test'
ROLES = ('edge', 'core', 'relay', 'vault')
USERS = {role: f'hato-{role}' for role in ROLES}


def master_of(server):
    with open(server.data + '/run/lock') as f:
        return int(f.read())


def works(server, subject):
    """The main job: a stranger's mail comes in, its owner reads it, and logs in to send."""
    server.send('x@else.test', ANN, message('x@else.test', ANN, subject))
    assert subject in server.subjects(ANN)
    server.smtp('submission', ANN).quit()
    return True


def try_works(server, subject):
    try:
        return works(server, subject)
    except Exception:
        return False


# Reload.

def test_reload_changes_settings_and_drops_nobody(hosts):
    extra = free_port()
    server = hosts(main='message_size_limit = 200000', accounts=[ANN])
    pids = set(server.pids())
    under_way = server.dialogue()
    assert 'SIZE 200000' in under_way.ehlo()
    under_way.envelope('x@else.test', ANN)
    under_way.say('DATA', 354)
    under_way.raw('Subject: across\r\n\r\nhel')
    mail = server.imap(ANN, select='INBOX')
    on_removed = server.imap(ANN)
    removed = server.ports['imap']
    with socket.create_connection(('127.0.0.1', removed), 10) as before:
        before.recv(1000)
        lines = [f'127.0.0.1:{p} inet n - n - - {SERVICES[n]}\n' for n, p in server.ports.items() if n != 'imap']
        # the new line stands first, so that every service gets another number
        server.configure('message_size_limit = 100000\nsmtpd_banner = $myhostname ESMTP anew',
                         f'127.0.0.1:{extra} inet n - n - - smtpd -o smtpd_banner=extra\n' + ''.join(lines))
        server.hato('reload')
        wait_until(lambda: connects(extra), 10, 'the new service')
        wait_until(lambda: not connects(removed), 10, 'the removed service to be gone')
        before.sendall(b'a NOOP\r\n')
        assert b'a OK' in before.recv(1000)
    with server.dialogue() as d:
        assert d.banner[1] == '220 mail.example.test ESMTP anew'
        assert 'SIZE 100000' in d.ehlo()
    with Dialogue('127.0.0.1', extra) as d:
        assert d.banner[1] == '220 extra'
    with server.smtp('submission', ANN) as s:  # each port still leads to its own service
        assert s.noop()[0] == 250
    under_way.raw('lo ' + ('x' * 70 + '\r\n') * 2000 + '.\r\n')  # larger than the new limit: the session keeps its settings
    assert under_way.reply()[0] == 250
    assert mail.noop()[0] == 'OK' and on_removed.noop()[0] == 'OK'
    assert 'across' in server.subjects(ANN)
    assert set(server.pids()) == pids
    mail.logout()
    on_removed.logout()
    under_way.close()


def test_hangup_signal_reloads(hosts):
    server = hosts(accounts=[ANN])
    server.configure('smtpd_banner = hup')
    os.kill(master_of(server), signal.SIGHUP)
    wait_until(lambda: server.dialogue().banner[1] == '220 hup', 10, 'the new banner')


def test_many_reloads_under_load(hosts):
    """Connections that come in the middle of a reload get the service they asked for."""
    server = hosts(accounts=[ANN])
    orders = [list(server.ports.items()), list(server.ports.items())[::-1], list(server.ports.items())[1:] + list(server.ports.items())[:1]]
    end, n = time.monotonic() + 6, 0
    while time.monotonic() < end:
        server.configure(master=''.join(f'127.0.0.1:{p} inet n - n - - {SERVICES[name]}\n' for name, p in orders[n % 3]))
        os.kill(master_of(server), signal.SIGHUP)
        n += 1
        for _ in range(12):
            with socket.create_connection(('127.0.0.1', server.ports['smtp']), 10) as s:
                assert s.recv(200).startswith(b'220 ')
            with socket.create_connection(('127.0.0.1', server.ports['imap']), 10) as s:
                assert s.recv(200).startswith(b'* OK')
    assert len(server.pids()) == 5
    assert 'ended' not in server.log()
    works(server, 'after')


@pytest.mark.parametrize('line, said', [('message_size_limit = lots', 'message_size_limit'), ('smtpd_tls_cert_file = /no/such.crt', '/no/such.crt'),
                                        ('smtpd_tls_protocols = !TLSv1.2 !TLSv1.3', 'smtpd_tls_protocols')])
def test_reload_with_an_error_keeps_everything(hosts, line, said):
    server = hosts(main='smtpd_banner = first', accounts=[ANN])
    server.configure('smtpd_banner = second\n' + line)
    number = len(open(server.folder + '/main.cf').read().rstrip('\n').splitlines())
    os.kill(master_of(server), signal.SIGHUP)
    server.wait_log(re.escape(said))
    if 'size' in line:
        server.wait_log(rf'error: .*main\.cf, line {number}: ')
    server.wait_log('reload: .*everything stays as it was')
    with server.dialogue() as d:
        assert d.banner[1] == '220 first'
    works(server, 'still')


def test_what_one_process_refuses_no_process_keeps(hosts):
    """smtpd_tls_protocols is edge's to refuse; core has taken the rest by then, and gives it back."""
    server = hosts(main='recipient_delimiter = +', accounts=[ANN])
    server.configure('recipient_delimiter = -\nsmtpd_tls_protocols = !TLSv1.2 !TLSv1.3')
    done = server.hato('reload', check=False)
    assert done.returncode == 78 and 'smtpd_tls_protocols' in done.stderr, done
    server.send('x@else.test', 'ann+old@example.test', message('x@else.test', ANN, 'old'))
    with server.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@else.test>', 250)
        d.say('RCPT TO:<ann-new@example.test>', 550)
    server.configure('recipient_delimiter = -')
    assert 'taken' in server.hato('reload').stdout
    server.send('x@else.test', 'ann-new@example.test', message('x@else.test', ANN, 'new'))
    assert server.subjects(ANN) == ['old', 'new']


def test_reload_with_a_taken_port_keeps_everything(hosts):
    server = hosts(main='smtpd_banner = first', accounts=[ANN])
    port = free_port()
    with socket.create_server(('127.0.0.1', port)):
        server.configure('smtpd_banner = second', f'127.0.0.1:{port} inet n - n - - smtpd\n')
        os.kill(master_of(server), signal.SIGHUP)
        server.wait_log(rf'error: reload: cannot listen on 127\.0\.0\.1:{port}.*everything stays')
    with server.dialogue() as d:
        assert d.banner[1] == '220 first'
    works(server, 'still')


def test_late_settings_are_told(hosts):
    server = hosts(accounts=[ANN])
    server.configure('core_worker_limit = 7')
    server.hato('reload')
    server.wait_log('core_worker_limit has changed: this takes effect at the next start')


# Certificates.

def shown(server, port=None):
    return ssl.get_server_certificate(('127.0.0.1', port or server.ports['imaps']))


def test_certificate_replaced_on_disk(hosts, folder):
    make_certificate(folder, 'one')
    server = hosts(main=f'smtpd_tls_cert_file = {folder}/one.crt\nsmtpd_tls_key_file = {folder}/one.key', accounts=[ANN])
    pids, old = set(server.pids()), shown(server)
    session = server.imap(ANN)
    make_certificate(folder, 'two')
    # as certbot does it: one file after the other, and a moment between in which they do not match
    os.replace(f'{folder}/two.key', f'{folder}/one.key')
    time.sleep(0.2)
    with open(f'{folder}/two.crt') as f:
        fresh = f.read()
    os.replace(f'{folder}/two.crt', f'{folder}/one.crt')
    assert fresh != old
    wait_until(lambda: shown(server) == fresh, 25, 'the new certificate', every=0.5)
    assert session.noop()[0] == 'OK'
    assert set(server.pids()) == pids
    works(server, 'new certificate')
    server.wait_log(r'certificate reloaded: localhost, expires 20\d\d-\d\d-\d\d', 10)


@pytest.mark.parametrize('days, said', [(400, None), (20, 'expires in 20 days, on'), (6, 'expires in 6 days, on'), (1, 'expires in 1 day, on')])
def test_the_end_of_a_certificate_is_told_in_time(hosts, folder, days, said):
    make_certificate(folder, 'one')
    subprocess.run(['openssl', 'req', '-x509', '-key', f'{folder}/one.key', '-days', str(days), '-out', f'{folder}/one.crt', '-subj', '/CN=end',
                    '-addext', 'subjectAltName=DNS:end.test,DNS:mail.end.test'], check=True, capture_output=True)
    server = hosts(main=f'smtpd_tls_cert_file = {folder}/one.crt\nsmtpd_tls_key_file = {folder}/one.key')
    told = re.findall(r'warning: certificate for end\.test mail\.end\.test: (.*)', server.log())
    assert len(told) == (said is not None) and (said is None or said in told[0]), server.log()
    server.hato('reload')
    assert server.log().count('certificate for end.test') == len(told)  # once


def test_broken_certificate_on_disk_changes_nothing(hosts, folder):
    make_certificate(folder, 'one')
    server = hosts(main=f'smtpd_tls_cert_file = {folder}/one.crt\nsmtpd_tls_key_file = {folder}/one.key', accounts=[ANN])
    old = shown(server)
    with open(f'{folder}/one.crt', 'w') as f:
        f.write('no certificate\n')
    server.wait_log(r'one\.crt.*everything stays as it was', 25)
    assert shown(server) == old
    with open(f'{folder}/one.crt', 'w') as f:  # and the repair is seen
        f.write(old)
    make_certificate(folder, 'two')
    with open(f'{folder}/two.crt') as f:
        fresh = f.read()
    os.replace(f'{folder}/two.key', f'{folder}/one.key')
    os.replace(f'{folder}/two.crt', f'{folder}/one.crt')
    wait_until(lambda: shown(server) == fresh, 25, 'the repaired certificate', every=0.5)


def openssl(*args, input=None):
    return subprocess.run(['openssl', *args], input=input, capture_output=True, text=True, check=True).stdout


def two_kinds(folder):
    """One chain file with an RSA key and one with an ECDSA key, key first."""
    for name, kind in (('rsa', ['-newkey', 'rsa:2048']), ('ecdsa', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'])):
        openssl('req', '-x509', *kind, '-nodes', '-days', '9', '-keyout', f'{folder}/{name}.key', '-out', f'{folder}/{name}.crt',
                '-subj', '/CN=mail.example.test', '-addext', 'subjectAltName=DNS:mail.example.test')
        with open(f'{folder}/{name}.pem', 'w') as f:
            f.write(open(f'{folder}/{name}.key').read() + open(f'{folder}/{name}.crt').read())
    return f'smtpd_tls_chain_files = {folder}/ecdsa.pem, {folder}/rsa.pem\nsmtpd_tls_security_level = may'


def s_client(*args):
    done = subprocess.run(['openssl', 's_client', '-connect', *args], input='QUIT\r\n', capture_output=True, text=True, timeout=30 * SLOW, errors='replace')
    return done.stdout + done.stderr


def signature_kind(out):
    """RSA, RSA-PSS or ECDSA, as OpenSSL 3.0 says; 3.5 says rsa_pss_rsae_sha256 and the like."""
    word = re.search(r'Peer signature type: (\S+)', out)[1]
    return 'RSA-PSS' if word.startswith('rsa_pss') else 'RSA' if word.startswith('rsa_') else 'ECDSA' if word.startswith('ecdsa') else word


def test_vault_signs_with_both_kinds_of_keys(hosts, folder):
    server = hosts(main=two_kinds(folder), accounts=[ANN])
    smtps, smtp = f'127.0.0.1:{server.ports["smtps"]}', f'127.0.0.1:{server.ports["smtp"]}'
    cases = [('-tls1_2', '-cipher', 'aRSA', 'RSA-PSS|RSA'), ('-tls1_2', '-cipher', 'aECDSA', 'ECDSA'), ('-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256', 'RSA'),
             ('-tls1_3', '-sigalgs', 'rsa_pss_rsae_sha256', 'RSA-PSS'), ('-tls1_3', '-sigalgs', 'ecdsa_secp256r1_sha256', 'ECDSA'),
             ('-tls1_2', '-sigalgs', 'RSA+SHA256', 'RSA')]
    for where in ([smtps], [smtp, '-starttls', 'smtp']):
        for *how, kind in cases:
            out = s_client(*where, '-servername', 'mail.example.test', *how)
            assert signature_kind(out).startswith(tuple(kind.split('|'))) and 'handshake failure' not in out, (where, how, out[-1500:])
    # the ECDSA one where both would do
    assert signature_kind(s_client(smtps, '-tls1_3')) == 'ECDSA'


def memory_holds(pid, needles):
    """Which of these bytes are somewhere in the writable memory of a process."""
    found = set()
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith('rw') or '[v' in line:
                continue
            at, end = (int(x, 16) for x in span.split('-'))
            if end - at > 1 << 30:  # the shadow of a sanitizer
                continue
            with contextlib.suppress(OSError, ValueError, OverflowError):
                mem.seek(at)
                data = mem.read(end - at)
                found |= {n for n in needles if n in data}
    return found


@pytest.mark.root
def test_edge_reads_what_core_writes(hosts):
    """The page of memory that both share must not become a way from strangers into core."""
    server = hosts(accounts=[ANN])
    rights = {}
    for pid in server.pids():
        role = open(f'/proc/{pid}/cmdline', errors='replace').read().split('\0')[2]
        for line in open(f'/proc/{pid}/maps'):
            if 'memfd:hato' in line:
                rights[role] = line.split()[1]
    assert rights == {'core': 'rw-s', 'edge': 'r--s'}


@pytest.mark.root
def test_only_vault_has_keys(hosts, folder):
    server = hosts(main=two_kinds(folder), accounts=[ANN])
    for kind in ('-tls1_2', '-tls1_3'):
        s_client(f'127.0.0.1:{server.ports["smtps"]}', kind)
    works(server, 'keys')
    server.hato('reload')
    works(server, 'keys again')
    # the raw numbers, and how they stand in the file
    scalar = bytes.fromhex(re.sub(r'[\s:]', '', re.search(r'priv:\n((?:\s+[0-9a-f:]+\n)+)', openssl('pkey', '-in', f'{folder}/ecdsa.key', '-text', '-noout'))[1]))
    prime = bytes.fromhex(re.sub(r'[\s:]', '', re.search(r'prime1:\n((?:\s+[0-9a-f:]+\n)+)', openssl('pkey', '-in', f'{folder}/rsa.key', '-text', '-noout'))[1])).lstrip(b'\0')
    needles = {scalar[-32:], scalar[-32:][::-1], prime, prime[::-1]}
    for name in ('rsa', 'ecdsa'):
        with open(f'{folder}/{name}.key', 'rb') as f:
            needles.add(f.read().splitlines()[1][:48])
    for role in ('edge', 'core', 'relay'):
        [pid] = server.pids(role)
        assert not memory_holds(pid, needles), f'{role} has private keys in its memory'
        open_files = [os.readlink(f'/proc/{pid}/fd/{n}') for n in os.listdir(f'/proc/{pid}/fd')]
        assert not [f for f in open_files if 'vault' in f or f.endswith(('.key', '.pem'))], (role, open_files)
        if role != 'core':
            assert not [f for f in open_files if 'hato.db' in f or '/blobs' in f], (role, open_files)
    [vault] = server.pids('vault')
    assert memory_holds(vault, needles)  # the search works
    open_files = [os.readlink(f'/proc/{vault}/fd/{n}') for n in os.listdir(f'/proc/{vault}/fd')]
    assert not [f for f in open_files if 'hato.db' in f], open_files
    sockets = {m[1] for f in open_files if (m := re.match(r'socket:\[(\d+)\]', f))}
    with open('/proc/net/tcp') as f:
        assert not sockets & {l.split()[9] for l in f.read().splitlines()[1:]}, 'vault holds a network socket'


# Stop and fall.

def test_stop_finishes_replies_and_leaves_nothing(hosts):
    server = hosts(accounts=[ANN])
    ports = list(server.ports.values())
    talks = [server.dialogue() for _ in range(20)]
    for n, d in enumerate(talks):
        d.ehlo()
        d.envelope('x@else.test', ANN)
        d.say('DATA', 354)
    for n, d in enumerate(talks):
        d.raw(message('x@else.test', ANN, f'last {n}') + '.\r\n')
    os.kill(master_of(server), signal.SIGTERM)
    codes = [d.reply()[0] for d in talks]
    assert set(codes) <= {250, 421}, codes
    wait_until(lambda: not server.pids(), 20, 'all processes to end')
    assert not any(connects(p) for p in ports)
    server.start()
    subjects = server.subjects(ANN)
    for n, code in enumerate(codes):
        assert subjects.count(f'last {n}') == (code == 250), (n, code)


def test_stop_waits_for_nobody(hosts):
    """Idle clients do not hold a stop up."""
    server = hosts(accounts=[ANN])
    idle = [server.dialogue() for _ in range(5)] + [server.dialogue('submission') for _ in range(5)]
    users = [server.imap(ANN) for _ in range(5)]
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 5 * SLOW
    assert idle[0].reply()[0] == 421
    assert users


@pytest.mark.parametrize('role', ROLES)
def test_falls_are_answered_more_and_more_slowly(hosts, role):
    server = hosts(accounts=[ANN])
    pause = 50
    for _ in range(3):
        [pid] = wait_until(lambda: server.pids(role), 10, role)
        os.kill(pid, signal.SIGKILL)
        # 100 again for one that had time to serve, on a slow machine
        told = server.wait_log(rf'error: process {role} \(pid {pid}\) ended: signal 9; starting it again in ({2 * pause}|100) ms')
        pause = int(told[1])
    wait_until(lambda: try_works(server, f'back after {role}'), 20, server.log, every=0.2)
    wait_until(lambda: len(server.pids()) == 5, 5, 'all five processes')


def test_a_killed_master_takes_all_with_it(hosts):
    server = hosts(accounts=[ANN])
    for n in range(3):
        os.kill(master_of(server), signal.SIGKILL)
        server.start()  # at once
        works(server, f'round {n}')
        wait_until(lambda: len(server.pids()) == 5, 10, 'the old processes to be gone')
    os.kill(master_of(server), signal.SIGKILL)
    wait_until(lambda: not server.pids(), 10, 'children to end with their master')


# Rights.

def status(pid):
    with open(f'/proc/{pid}/status') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


@pytest.fixture
def reachable():
    """A data folder that other users can get at; /tmp may be closed to them by a mount option or a sticky rule."""
    path = tempfile.mkdtemp(prefix='hato-story-', dir='/var/tmp')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Users(dict):
    """{role: uid}; prefix: the command under which a hato finds them."""
    prefix = []


@pytest.fixture
def users(folder):
    """The users of packaging/hato.sysusers; on a machine without them in an /etc/passwd that only our processes see."""
    with contextlib.suppress(KeyError):
        yield Users((role, pwd.getpwnam(name).pw_uid) for role, name in USERS.items())
        return
    with open(os.path.dirname(__file__) + '/../../packaging/hato.sysusers') as f:
        names = re.findall(r'^u (\S+)', f.read(), re.M)
    assert set(names) == set(USERS.values())
    for table, line in (('passwd', '{0}:x:{1}:{1}::/:/usr/sbin/nologin\n'), ('group', '{0}:x:{1}:\n')):
        with open(f'/etc/{table}') as old, open(f'{folder}/{table}', 'w') as new:
            new.write(old.read() + ''.join(line.format(name, 61200 + n) for n, name in enumerate(names)))
    holder = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group && '
                               'echo ok && exec sleep 3600'], stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline().strip() != 'ok':
            pytest.skip('cannot mount here')
        made = Users((role, 61200 + names.index(name)) for role, name in USERS.items())
        made.prefix = ['nsenter', '-m', '-t', str(holder.pid), '--']
        yield made
    finally:
        end_process(holder)


@pytest.mark.root
def test_each_process_has_its_own_user(reachable, users, hosts):
    server = hosts(start=False, main=f'data_directory = {reachable}/data')
    server.prefix = users.prefix
    server.account(ANN)  # root, before the start
    server.start()
    assert 'everything runs as root' not in server.log()
    uids = {}
    for role in ROLES:
        [pid] = server.pids(role)
        s = status(pid)
        assert s['Uid'].split() == [str(users[role])] * 4, (role, s['Uid'])
        assert '0' not in s['Gid'].split() and '0' not in s['Groups'].split(), (role, s)
        assert s['NoNewPrivs'] == '1' and int(s['CapEff'], 16) == 0 and int(s['CapPrm'], 16) == 0, (role, s)
        uids[role] = s['Uid']
    assert len(set(uids.values())) == 4
    server.account('bob@example.test')  # root, while it runs
    works(server, 'apart')
    server.send('x@else.test', 'bob@example.test', message('x@else.test', 'bob@example.test', 'big', noise(400000)))  # spooled, and a blob file
    assert server.subjects('bob@example.test') == ['big']
    owner = lambda path: os.stat(f'{reachable}/data/{path}').st_uid
    assert owner('') == owner('hato.db') == owner('blobs') == users['core']
    assert owner('vault') == owner('vault/vault.db') == users['vault']
    assert owner('spool') == users['edge']
    for path, wanted in (('vault', 0o700), ('spool', 0o700), ('hato.db', 0o600), ('tls/self-signed.key', 0o600), ('run/control', 0o600)):
        mode = stat.S_IMODE(os.stat(f'{reachable}/data/{path}').st_mode)
        assert mode & 0o077 & ~wanted == 0, (path, oct(mode))
    assert owner('tls/self-signed.key') == 0
    as_user = lambda role, *command: subprocess.run(['setpriv', f'--reuid={users[role]}', '--clear-groups', '--', *command], capture_output=True).returncode
    for role in ('edge', 'relay', 'vault'):
        assert as_user(role, 'cat', f'{reachable}/data/hato.db') != 0, role
    for role in ('edge', 'relay', 'core'):
        assert as_user(role, 'cat', f'{reachable}/data/vault/vault.db') != 0, role
        assert as_user(role, 'cat', f'{reachable}/data/tls/self-signed.key') != 0, role
    # fallen and back: again its own user
    for role in ROLES:
        old = server.kill(role)
        [pid] = wait_until(lambda: [p for p in server.pids(role) if p not in old], 20, role)
        wait_until(lambda: status(pid)['Uid'].split()[0] == str(users[role]), 10, role)
    wait_until(lambda: try_works(server, 'after falls'), 20, server.log)
    server.stop()
    server.account('cat@example.test')  # and after a stop
    server.start()
    works(server, 'again')


@pytest.mark.root
def test_folder_of_one_user_becomes_that_of_four(reachable, users, hosts):
    """A server that ran as one user is taken over by separate ones."""
    server = hosts(start=False, main=f'data_directory = {reachable}/data')
    server.prefix = users.prefix
    os.chmod(reachable, 0o700)  # nobody else gets in: everything is root's
    server.account(ANN)
    server.start()
    [core] = server.pids('core')
    assert status(core)['Uid'].split()[0] == '0'
    works(server, 'as root')
    server.stop()
    os.chmod(reachable, 0o755)
    server.start()
    [core] = server.pids('core')
    assert status(core)['Uid'].split()[0] == str(users['core'])
    works(server, 'apart')
    assert 'as root' in server.subjects(ANN)


@pytest.mark.root
def test_ordinary_user(reachable, hosts):
    """Everything as nobody, on high ports."""
    nobody = pwd.getpwnam('nobody')
    server = hosts(start=False, main=f'data_directory = {reachable}/data')
    os.chown(server.folder, nobody.pw_uid, nobody.pw_gid)
    os.chown(reachable, nobody.pw_uid, nobody.pw_gid)
    server.prefix = ['setpriv', f'--reuid={nobody.pw_uid}', f'--regid={nobody.pw_gid}', '--clear-groups', '--']
    if subprocess.run([*server.prefix, HATO, 'help'], capture_output=True).returncode != 0:
        pytest.skip('the binary is out of reach for nobody')
    server.account(ANN)
    server.start()
    for pid in server.pids():
        assert status(pid)['Uid'].split() == [str(nobody.pw_uid)] * 4
    for role in ROLES:
        assert status(server.pids(role)[0])['NoNewPrivs'] == '1'
    works(server, 'as nobody')
    server.hato('reload')
    server.account('bob@example.test')
    for path, _, files in os.walk(reachable):
        assert {os.stat(f'{path}/{f}').st_uid for f in files} <= {nobody.pw_uid}
    server.stop()
    assert not server.pids()


# Where the log goes.

def test_standard_output(hosts):
    server = hosts(start=False, main='maillog_file = /dev/stdout')
    with open(server.folder + '/out', 'wb') as out:
        process = subprocess.Popen([HATO, '-c', server.folder, 'start', '--foreground'], stdout=out, stderr=subprocess.STDOUT, env=server.env)
    try:
        wait_port(server.ports['smtp'])
        server.dialogue().close()
        wait_until(lambda: b'connect from localhost' in open(server.folder + '/out', 'rb').read(), 10, 'the line of a connection')
    finally:
        end_process(process, 30)


@pytest.mark.root
def test_syslog(hosts, folder):
    """Without maillog_file lines go to /dev/log, here one of our own in a mount namespace, with facility and priority."""
    server = hosts(start=False, main='maillog_file =\nsyslog_facility = local3')
    with tempfile.TemporaryDirectory(dir='/var/tmp') as real, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(folder + '/log')
        os.chmod(folder + '/log', 0o666)
        log.settimeout(10 * SLOW)
        links = ' '.join(f'ln -s {real}/{n} /dev/{n};' for n in ('null', 'zero', 'urandom', 'random', 'fd', 'shm'))
        holder = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount --rbind /dev {real} && mount -t tmpfs -o mode=755 none /dev && {{ {links} }} && '
                                   f'ln -s {folder}/log /dev/log && echo ok && exec sleep 3600'], stdout=subprocess.PIPE, text=True)
        try:
            if holder.stdout.readline().strip() != 'ok':
                pytest.skip('cannot mount here')
            server.prefix = ['nsenter', '-m', '-t', str(holder.pid), '--']
            server.account(ANN)
            server.start()
            server.dialogue().close()
            seen = []
            while not any('connect from localhost' in l for l in seen):
                seen.append(log.recv(65536).decode())
            line = next(l for l in seen if 'connect from localhost' in l)
            # <facility * 8 + info>, time, tag: local3 is 19
            assert re.match(r'<158>\w{3} [ \d]\d \d\d:\d\d:\d\d hato/smtpd\[\d+\]: connect from localhost\[127\.0\.0\.1\]$', line), line
        finally:
            server.stop(check=False)
            end_process(holder)


def test_log_file_can_be_moved_away(hosts):
    """What logrotate does: rename, then reload."""
    server = hosts(accounts=[ANN])
    os.rename(server.folder + '/mail.log', server.folder + '/mail.log.1')
    server.hato('reload')
    server.wait_log('reload -- version')
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'rotated'))
    server.wait_log('connect from')
