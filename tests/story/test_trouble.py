# SPDX-License-Identifier: Apache-2.0
"""When something is wrong with the machine or the settings: a clear message, the right exit code, 4xx where it is our
fault, and nothing lost."""
import os, re, smtplib, socket, subprocess, time
import pytest
from around import *

pytestmark = pytest.mark.core
ANN = 'ann@example.test'
USAGE, DATAERR, UNAVAILABLE, SOFTWARE, OSERR, CANTCREAT, IOERR, NOPERM, CONFIG = 64, 65, 69, 70, 71, 73, 74, 77, 78  # sysexits(3)


def refuses_to_start(server, *words, codes=(CONFIG,)):
    """start fails with one of these codes, its message holds all the words, and no process stays."""
    done = server.hato('start', check=False)
    assert done.returncode in codes, f'exit {done.returncode}: {done.stderr}{done.stdout}'
    assert re.match('hato start: .', done.stderr.splitlines()[-1]), done.stderr  # warnings and errors of files stand before it
    for word in words:
        assert word in done.stderr, f'{word!r} is not in {done.stderr!r}'
    assert len(done.stderr.splitlines()) <= 5, done.stderr
    wait_until(lambda: not server.pids(), 10, 'all processes to end')


def test_port_taken(hosts):
    server = hosts(start=False)
    with socket.create_server(('127.0.0.1', server.ports['imap'])):
        refuses_to_start(server, str(server.ports['imap']), 'in use', codes=(UNAVAILABLE, OSERR, CANTCREAT, CONFIG))
    server.start()  # and it is fine afterwards


def test_unwritable_data_folder(hosts):
    server = hosts(start=False, main='data_directory = /proc/hato')
    refuses_to_start(server, '/proc/hato', codes=(CANTCREAT, NOPERM, IOERR, OSERR, CONFIG))


def test_data_folder_is_a_file(hosts):
    server = hosts(start=False)
    with open(server.data, 'w') as f:
        f.write('x')
    refuses_to_start(server, server.data, codes=(CANTCREAT, NOPERM, IOERR, OSERR, CONFIG))


def test_certificates(hosts, folder):
    make_certificate(folder, 'one')
    make_certificate(folder, 'two')
    with open(f'{folder}/broken.crt', 'w') as f:
        f.write('-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n')
    server = hosts(start=False)
    pair = lambda crt, key: server.configure(f'smtpd_tls_cert_file = {folder}/{crt}\nsmtpd_tls_key_file = {folder}/{key}')
    for crt, key, word in (('broken.crt', 'one.key', 'broken.crt'), ('absent.crt', 'one.key', 'absent.crt'), ('one.crt', 'absent.key', 'absent.key'),
                           ('one.crt', 'two.key', 'not match'), ('one.crt', 'broken.crt', 'broken.crt')):
        pair(crt, key)
        refuses_to_start(server, word, codes=(CONFIG, DATAERR, NOPERM, 66))
    pair('one.crt', 'one.key')
    server.account(ANN)
    server.start()
    import ssl
    with open(f'{folder}/one.crt') as f:
        assert ssl.get_server_certificate(('127.0.0.1', server.ports['imaps'])) == f.read()
    # without settings, hato makes its own, and keeps it
    server.stop()
    server.configure('')
    server.start()
    first = ssl.get_server_certificate(('127.0.0.1', server.ports['imaps']))
    server.stop()
    server.start()
    assert ssl.get_server_certificate(('127.0.0.1', server.ports['imaps'])) == first


@pytest.mark.parametrize('line, words', [
    ('message_size_limit = many', ['main.cf', 'message_size_limit', 'many']),
    ('smtpd_timeout = soon', ['main.cf', 'smtpd_timeout']),
    ('this line says nothing', ['main.cf']),
    ('mynetworks = 127.0.0.0/99', ['main.cf', 'mynetworks']),
    ('smtpd_tls_security_level = maybe', ['main.cf', 'smtpd_tls_security_level']),
    ('myhostname = $myhostname', ['main.cf', 'myhostname']),
])
def test_bad_settings(hosts, line, words):
    server = hosts(start=False)
    server.configure(line)
    number = str(len(open(server.folder + '/main.cf').read().rstrip('\n').splitlines()))
    refuses_to_start(server, *words, f'line {number}: ')
    done = server.hato('check', check=False)
    assert done.returncode == CONFIG and words[0] in done.stderr + done.stdout


@pytest.mark.parametrize('line, words', [('dns_resolvers = nonsense:xx', ['dns_resolvers', 'nonsense:xx']),
                                         ('dns_trust_anchor_file = /nowhere/root.key', ['dns_trust_anchor_file', '/nowhere/root.key'])])
def test_bad_dns_settings(hosts, line, words):
    server = hosts(start=False)
    server.configure(line)
    refuses_to_start(server, *words)
    done = server.hato('check', check=False)
    assert done.returncode == CONFIG and words[1] in done.stderr + done.stdout


def test_unknown_setting_is_a_warning(hosts):
    server = hosts(start=False, accounts=[ANN])
    server.configure('mesage_size_limit = 100')
    done = server.hato('check', check=False)
    assert done.returncode == 0, done.stderr
    assert 'mesage_size_limit' in done.stderr + done.stdout and 'message_size_limit' in (done.stderr + done.stdout).replace('mesage', '')
    server.start()


@pytest.mark.parametrize('master', ['smtp', '127.0.0.1:99999 inet n - n - - smtpd\n', '127.0.0.1:2525 inet n - n - - nosuch\n',
                                    'x y z\n', ' starts with a continuation\n', '127.0.0.1:2525 inet n - n - - smtpd -o\n'])
def test_bad_services(hosts, master):
    server = hosts(start=False)
    server.configure(master=master)
    refuses_to_start(server, 'master.cf', codes=(CONFIG, USAGE))


def test_no_configuration(hosts):
    """Not start: without main.cf the data folder would be the machine's own."""
    server = hosts(start=False)
    os.unlink(server.folder + '/main.cf')
    done = server.hato('check', check=False)
    assert done.returncode in (CONFIG, 66) and 'main.cf' in done.stderr, done


def test_reload_of_a_broken_file_changes_nothing(hosts):
    server = hosts(accounts=[ANN])
    server.configure('message_size_limit = 100000')
    assert server.hato('reload').returncode == 0
    size = lambda: server.smtp().ehlo()[1].decode().split('SIZE ')[1].split()[0]
    wait_until(lambda: size() == '100000', 5, 'the new size')
    server.configure('message_size_limit = lots')
    done = server.hato('reload', check=False)
    assert done.returncode == CONFIG and 'message_size_limit' in done.stderr
    assert size() == '100000'


def test_started_twice_and_stopped_twice(hosts):
    server = hosts(accounts=[ANN])
    before = server.pids()
    done = server.hato('start', check=False)
    assert 'running' in done.stderr + done.stdout
    assert server.pids() == before
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'still here'))
    server.stop()
    assert not server.pids()
    done = server.stop(check=False)
    assert 'not running' in done.stderr + done.stdout


@pytest.mark.parametrize('role', ['edge', 'core', 'relay', 'vault'])
def test_a_dead_process_comes_back(hosts, role):
    server = hosts(accounts=[ANN])
    assert server.kill(role)

    def works():
        try:
            server.send('x@else.test', ANN, message('x@else.test', ANN, 'after'))
            return server.smtp('submission', ANN).quit()[0] == 221 and 'after' in server.subjects(ANN)
        except (smtplib.SMTPException, OSError, Exception):
            return False
    wait_until(works, 20, lambda: f'the service after the death of {role}:\n{server.log()[-2000:]}', every=0.3)
    # agent may have been called, for the notice of the 451 to the postmaster
    wait_until(lambda: len(set(server.pids()) - set(server.pids('agent'))) == 5, 20, server.log)


def test_while_core_is_dead_strangers_are_asked_to_come_again(hosts):
    """Stopped, not dead: nobody answers edge, and edge answers 4xx in time, or the mail simply waits and arrives."""
    server = hosts(accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        server.kill('core')
        codes = [d.say('MAIL FROM:<x@else.test>')[0]]
        codes.append(d.say(f'RCPT TO:<{ANN}>')[0] if codes[-1] == 250 else 0)
        assert all(c in (0, 250) or 400 <= c < 500 for c in codes), codes


def test_terminate_finishes_replies_under_way(hosts):
    server = hosts(accounts=[ANN])
    with server.dialogue() as d:
        d.ehlo()
        d.envelope('x@else.test', ANN)
        d.say('DATA', 354)
        stopping = subprocess.Popen([*server.prefix, HATO, '-c', server.folder, 'stop'])
        time.sleep(0.3)
        d.raw(message('x@else.test', ANN, 'last') + '.\r\n')
        code = d.reply()[0]
        assert code in (250, 421, 451, 0)
        assert stopping.wait(60 * SLOW) == 0
    server.start()
    assert server.subjects(ANN).count('last') == (code == 250)




@pytest.fixture
def small_disk(hosts):
    """An instance whose data folder is a file system of 32 MB that nobody else sees (a mount namespace of its own)."""
    if os.geteuid() != 0:
        pytest.skip('needs root to mount')
    server = hosts(main='message_size_limit = 0', start=False)  # with a limit, mail is refused while there is still room (queue_minfree)
    os.makedirs(server.data)
    holder = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs -o size=32m,mode=755 none {server.data} && echo ok && exec sleep 3600'],
                              stdout=subprocess.PIPE, text=True)
    if holder.stdout.readline().strip() != 'ok':
        pytest.skip('cannot mount a tmpfs here')
    server.prefix = ['nsenter', '-m', '-t', str(holder.pid), '--']
    server.holder = holder
    yield server
    if server.pids():
        server.stop(check=False)
    end_process(holder)


def test_disk_full(small_disk):
    server = small_disk
    inside = lambda *command: subprocess.run([*server.prefix, *command], check=True, capture_output=True)
    server.account(ANN)
    server.start()
    inside('dd', 'if=/dev/zero', f'of={server.data}/ballast', 'bs=1M', 'count=16')  # half: what is in the log is written once more
    acked, refused = [], []
    for n in range(300):
        text = message('x@else.test', ANN, f'n{n}', noise(100000 if n % 3 else 300000, n))  # rows and files
        try:
            server.send('x@else.test', ANN, text)
            acked.append(f'n{n}')
        except smtplib.SMTPResponseException as e:
            refused.append(e.smtp_code)
        except smtplib.SMTPRecipientsRefused as e:
            refused += [code for code, _ in e.recipients.values()]
        except (smtplib.SMTPServerDisconnected, OSError):
            refused.append(0)
        if len(refused) >= 5:
            break
    assert len(refused) >= 5 and all(c == 0 or 400 <= c < 500 for c in refused), (len(acked), refused)
    assert 452 in refused or 451 in refused, refused
    assert 'No space left' in server.log() or 'full' in server.log(), server.log()[-2000:]
    inside('rm', f'{server.data}/ballast')
    wait_until(lambda: can_send(server, 'room again'), 20, 'mail to be accepted again')
    subjects = [s for s in server.subjects(ANN) if 'SMTP server: errors' not in s]  # what notify_classes tells the postmaster may come twice
    assert [s for s in subjects if s in acked] == acked and len(subjects) == len(set(subjects))
    server.hato('stop')
    server.start()
    assert set(acked) <= set(server.subjects(ANN))


def test_start_on_a_full_disk(small_disk):
    """It starts, mail can be read, new mail is put off, and room is seen without a restart."""
    server = small_disk
    inside = lambda *command: subprocess.run([*server.prefix, *command], capture_output=True)
    server.account(ANN)
    server.start()
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'before'))
    server.stop()
    inside('dd', 'if=/dev/zero', f'of={server.data}/ballast', 'bs=4k')
    server.start()
    assert server.subjects(ANN) == ['before']
    assert 'disk full' in server.hato('status').stdout
    assert 'disk full: mail can be read' in server.log()
    with pytest.raises(smtplib.SMTPException) as refused:
        for n in range(20):  # what little was put aside may hold a few small ones
            server.send('x@else.test', ANN, message('x@else.test', ANN, f'small {n}', noise(60000, n)))
    assert '452' in str(refused.value) or '451' in str(refused.value), refused.value
    inside('rm', f'{server.data}/ballast')
    wait_until(lambda: can_send(server, 'room again'), 20, 'mail to be accepted again')
    assert 'disk full' not in server.hato('status').stdout
    assert {'before', 'room again'} <= set(server.subjects(ANN))


def can_send(server, subject):
    try:
        server.send('x@else.test', ANN, message('x@else.test', ANN, subject))
        return True
    except (smtplib.SMTPException, OSError):
        return False


def test_wrong_use_of_the_command(hosts):
    server = hosts(start=False)
    for args in (['nosuch'], ['account', 'nosuch'], ['account', 'add'], ['queue', 'show'], []):
        done = server.hato(*args, check=False)
        assert done.returncode == USAGE, (args, done)
        assert done.stderr
    assert server.hato('account', 'add', 'no address', '--password-stdin', input='x\n', check=False).returncode in (USAGE, DATAERR)
    server.account(ANN)
    done = server.hato('account', 'add', ANN, '--password-stdin', input='x\n', check=False)
    assert done.returncode != 0 and 'exists' in done.stderr
