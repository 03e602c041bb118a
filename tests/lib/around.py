# SPDX-License-Identifier: Apache-2.0
"""What every story needs around a server: free ports, waiting, TLS without a name, processes, sample messages."""
import concurrent.futures, os, pty, termios, random, re, select, shutil, signal, socket, ssl, subprocess, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HATO = os.environ.get('HATO_BINARY') or os.path.join(TOP, 'build', 'hato')
# a sanitized server is slow: every waiting time is multiplied
SLOW = float(os.environ.get('HATO_SLOW') or (4 if 'san' in os.path.basename(os.path.dirname(HATO)) else 1))

NO_NAME = ssl.create_default_context()  # encrypted, whoever it is: the servers here sign their own certificates
NO_NAME.check_hostname = False
NO_NAME.verify_mode = ssl.CERT_NONE

# Ports below the ephemeral range, another stretch for every worker of xdist, so that nobody takes a port between our
# looking and its use.
_worker = int(re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', '')) or 0) % 8
_ports = random.Random(os.getpid()).sample(range(10000 + 2500 * _worker, 12500 + 2500 * _worker), 2500)
_addresses = random.Random(os.getpid()).sample(range(1, 60000), 5000)


def free_port(address='127.0.0.1'):
    while True:
        port = _ports.pop()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as s:
                try:
                    s.bind((address, port))
                except OSError:
                    break
        else:
            return port


def own_address():
    """An address of the loopback network that is this story's alone: whole servers with ports 25 and 53 live there."""
    n = _addresses.pop()
    return f'127.{16 + _worker}.{n // 250}.{n % 250 + 1}'


def can_bind(address, port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((address, port))
            return True
        except OSError:
            return False


def wait_until(truth, seconds=20, what='it', every=0.05):
    """Calls truth() until it returns something; returns that. Fails after so many seconds."""
    end = time.monotonic() + seconds * SLOW
    while True:
        got = truth()
        if got:
            return got
        assert time.monotonic() < end, f'waited {seconds * SLOW:.0f} s in vain for {what() if callable(what) else what}'
        time.sleep(every)


def connects(port, address='127.0.0.1'):
    try:
        socket.create_connection((address, port), 2).close()
        return True
    except OSError:
        return False


def wait_port(port, address='127.0.0.1', seconds=20):
    wait_until(lambda: connects(port, address), seconds, f'port {port} of {address}')


def processes():
    """{pid: (parent, command line as a list)} of everything that runs; a command line may hold any bytes."""
    all_ = {}
    for p in os.listdir('/proc'):
        if p.isdigit():
            try:
                with open(f'/proc/{p}/stat', errors='replace') as stat, open(f'/proc/{p}/cmdline', errors='replace') as line:
                    fields = stat.read().rsplit(')', 1)[1].split()
                    if fields[0] != 'Z':
                        all_[int(p)] = int(fields[1]), line.read().split('\0')
            except OSError:
                pass
    return all_


def descendants(roots, all_=None):
    all_ = all_ or processes()
    found = [p for p in roots if p in all_]
    for p in found:  # grows while we walk it
        found += [c for c, (parent, _) in all_.items() if parent == p and c not in found]
    return found


def kill(pids, number=signal.SIGKILL):
    for p in pids:
        try:
            os.kill(p, number)
        except ProcessLookupError:
            pass


def needs_dovecot_2_3():
    """Dovecot as a peer is configured in the language of 2.3; 2.4 (Debian 13) has another one."""
    import pytest
    version = subprocess.run(['dovecot', '--version'], capture_output=True, text=True).stdout if shutil.which('dovecot') else 'none'
    if not version.startswith('2.3'):
        pytest.skip(f'this peer is configured for Dovecot 2.3; here is {version.strip() or "another"}')


def together(one, cases):
    """one(*case) of every case at the same time: for what is waited for. The first that fails is told."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for answer in [pool.submit(one, *case) for case in cases]:
            answer.result()


def end_process(process, seconds=10):
    """Asks a child of ours to end, then makes it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except Exception:
            process.kill()
            process.wait()


def make_certificate(folder, name, host='localhost'):
    """A self-signed certificate and its key: (path.crt, path.key)."""
    paths = f'{folder}/{name}.crt', f'{folder}/{name}.key'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '9', '-out', paths[0],
                    '-keyout', paths[1], '-subj', f'/CN={host}', '-addext', f'subjectAltName=DNS:{host}'], check=True, capture_output=True)
    return paths


def message(sender, to, subject, body='hello\n', **headers):
    """A small message with CRLF line ends."""
    lines = [f'From: {sender}', f'To: {to}', f'Subject: {subject}', f'Message-ID: <{random.getrandbits(64):x}@story.test>',
             'Date: Sat, 22 Nov 2025 04:31:39 +0000'] + [f'{k.replace("_", "-")}: {v}' for k, v in headers.items()]
    return '\r\n'.join(lines + ['', '']) + re.sub(r'\r?\n', '\r\n', body)


def noise(size, seed=None):
    """Text that zstd cannot shrink below three quarters."""
    import base64
    raw = random.Random(seed).randbytes(size * 3 // 4)
    return base64.encodebytes(raw).decode().replace('\n', '\r\n')


def on_terminal(command, home, seconds=60):
    """Runs a program that insists on a terminal; returns what it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 80))  # newer curses open no terminal without a size
        os.execvpe(command[0], command, home)
    shown, end = b'', time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
    else:
        kill([pid])
    os.close(terminal)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f'{command[0]}: status {status}\n{shown.decode("utf-8", "replace")[-3000:]}'
    return shown.decode('utf-8', 'replace')
