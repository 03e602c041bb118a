# SPDX-License-Identifier: Apache-2.0
"""An instance of hato in a folder and on ports of its own, made and driven as any operator would: main.cf, master.cf and
the command line. Nothing here knows what is inside."""
import contextlib, email, glob, imaplib, os, re, smtplib, socket, subprocess
from around import *

AUTH = '-o smtpd_sasl_auth_enable=yes'
SERVICES = {
    'smtp': 'smtpd',
    'submission': f'smtpd {AUTH} -o smtpd_tls_security_level=encrypt',
    'smtps': f'smtpd -o smtpd_tls_wrappermode=yes {AUTH}',
    'imap': 'imapd',
    'imaps': 'imapd -o imapd_tls_wrappermode=yes',
    'pop3': 'pop3d',
    'pop3s': 'pop3d -o pop3d_tls_wrappermode=yes',
}


class Instance:
    def __init__(self, folder, host='mail.example.test', main='', address='127.0.0.1', ports=None, services=SERVICES,
                 dns=None, networks='127.0.0.0/8'):
        self.folder, self.host, self.address, self.dns = str(folder), host, address, dns
        os.makedirs(self.folder, exist_ok=True)
        self.services, self.networks = dict(services), networks
        self.ports = {name: (ports or {}).get(name) or free_port(address) for name in services}
        self.prefix = []   # a command to run hato under, as nsenter
        self.env = dict(os.environ)
        if SLOW > 1:       # a daemon's stderr is nobody's: sanitizers write files, whichever user they run as
            os.chmod(self.folder, 0o1777)
            for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'):
                self.env[name] = f'{self.env.get(name, "")}:detect_leaks=0:log_path={self.folder}/sanitizer'
        self.extra_main = main
        self.configure()

    @property
    def data(self):
        return self.folder + '/data'

    def configure(self, main=None, master=None):
        """Writes main.cf and master.cf; main: lines behind ours, master: the whole text instead of ours."""
        self.extra_main = self.extra_main if main is None else main
        resolver = f'{self.dns.address}:{self.dns.port}' if self.dns else f'127.0.0.1:{silent_dns()}'
        with open(self.folder + '/main.cf', 'w') as f:
            f.write(f'myhostname = {self.host}\ndata_directory = {self.data}\nmynetworks = {self.networks}\ninet_protocols = ipv4\n'
                    f'maillog_file = {self.folder}/mail.log\n')
            if 'compatibility_level' not in self.extra_main:
                f.write('compatibility_level = 3.11\n')
            if 'dns_resolvers' not in self.extra_main:
                f.write(f'dns_resolvers = {resolver}\n')
            f.write(self.extra_main + '\n')
        with open(self.folder + '/master.cf', 'w') as f:
            f.write(master if master is not None else ''.join(
                f'{self.address}:{self.ports[n]} inet n - n - - {command}\n' for n, command in self.services.items()))

    # the command line

    def hato(self, *args, input=None, check=True, seconds=60):
        done = subprocess.run([*self.prefix, HATO, '-c', self.folder, *args], input=input, capture_output=True, text=True,
                              timeout=seconds * SLOW, errors='replace', env=self.env, stdin=None if input is not None else subprocess.DEVNULL)
        assert not check or done.returncode == 0, f'hato {" ".join(args)}: exit {done.returncode}: {done.stderr}{done.stdout}'
        return done

    def account(self, address, password='secret'):
        self.hato('account', 'add', address, '--password-stdin', input=password + '\n')
        return address

    def start(self):
        self.hato('start')
        return self

    def stop(self, check=True):
        return self.hato('stop', check=check)

    def finish(self):
        """Stops it, whatever state it is in, and returns what was not in order: [] is good."""
        problems = []
        if self.pids():
            try:
                self.stop()
            except Exception as e:
                problems.append(str(e))
        left = self.pids()
        if left:
            problems.append(f'processes left after stop: {[(p, processes().get(p)) for p in left]}')
            kill(left)
        for report in sorted(glob.glob(self.folder + '/sanitizer.*'))[:3]:
            with open(report, errors='replace') as f:
                problems.append(f.read(3000))
        problems += re.findall(r'^.*fatal: cannot be: .*$', self.log(), re.M)[:3]
        return problems

    # processes

    def pids(self, role=None):
        """The processes of this instance; with role ("core", "edge", …) those of that role."""
        all_ = processes()
        mine = descendants([p for p, (_, line) in all_.items()
                            if self.folder in line and any(os.path.basename(w) == 'hato' for w in line[:1])], all_)
        return [p for p in mine if role is None or role in all_[p][1] or f'--role={role}' in all_[p][1] or
                any(w.startswith('hato') and role in w for w in all_[p][1][:1])]

    def kill(self, role=None):
        pids = self.pids(role)
        kill(pids)
        if role is None:
            wait_until(lambda: not self.pids(), 10, 'the killed processes to be gone')
        return pids

    def pss_kib(self):
        total = 0
        for p in self.pids():
            with contextlib.suppress(OSError), open(f'/proc/{p}/smaps_rollup') as f:
                total += sum(int(l.split()[1]) for l in f if l.startswith('Pss:'))
        return total

    def log(self):
        with contextlib.suppress(OSError), open(self.folder + '/mail.log', errors='replace') as f:
            return f.read()
        return ''

    def wait_log(self, pattern, seconds=20):
        return wait_until(lambda: re.search(pattern, self.log()), seconds,
                          lambda: f'{pattern!r} in the log, which ends:\n{self.log()[-2000:]}')

    # SMTP

    def smtp(self, service='smtp', user=None, password='secret', seconds=30):
        """A connection of smtplib's; with user: under TLS and logged in."""
        port = self.ports[service]
        if service == 'smtps':
            s = smtplib.SMTP_SSL(self.address, port, timeout=seconds * SLOW, context=NO_NAME)
        else:
            s = smtplib.SMTP(self.address, port, timeout=seconds * SLOW)
            if user:
                s.starttls(context=NO_NAME)
        if user:
            s.login(user, password)
        return s

    def send(self, sender, to, text, service='smtp', user=None, password='secret', options=()):
        with self.smtp(service, user, password) as s:
            return s.sendmail(sender, [to] if isinstance(to, str) else to, text, mail_options=options)

    def dialogue(self, service='smtp', source=None):
        return Dialogue(self.address, self.ports[service], source=source)

    # IMAP

    def imap(self, user, password='secret', select=None):
        m = imaplib.IMAP4_SSL(self.address, self.ports['imaps'], ssl_context=NO_NAME, timeout=60 * SLOW)
        m.login(user, password)
        if select:
            assert m.select(select)[0] == 'OK'
        return m

    def messages(self, user, folder='INBOX', password='secret'):
        """Every message of a mailbox, parsed, oldest first."""
        m = self.imap(user, password, folder)
        try:
            answer, parts = m.fetch('1:*', '(UID BODY.PEEK[])')
            assert answer == 'OK', parts
            return [email.message_from_bytes(p[1]) for p in parts if isinstance(p, tuple)]
        except imaplib.IMAP4.error:
            return []  # 1:* of an empty mailbox
        finally:
            m.logout()

    def subjects(self, user, folder='INBOX'):
        return [str(m['Subject']) for m in self.messages(user, folder)]

    def wait_message(self, user, truth, seconds=30, folder='INBOX'):
        """The first message for which truth(message) holds; a text is looked for in the subject."""
        test = truth if callable(truth) else lambda m: truth in str(m['Subject'])
        return wait_until(lambda: next((m for m in self.messages(user, folder) if test(m)), None), seconds,
                          lambda: f'a message; there are {self.subjects(user, folder)}; log:\n{self.log()[-3000:]}', every=0.2)

    def wait_bounce(self, user, seconds=30):
        """The first delivery report in the mailbox: (message, text of its parts)."""
        m = self.wait_message(user, lambda m: m.get_content_type() == 'multipart/report', seconds)
        return m, m.as_string()


@contextlib.contextmanager
def running(folder, *accounts, **options):
    """An instance for all the stories of a file: with running(folder, 'ann@example.test', host=…) as server: …"""
    instance = Instance(folder, **options)
    for address in accounts:
        instance.account(address)
    try:
        yield instance.start()
    finally:
        problems = instance.finish()
    assert not problems, '\n'.join(problems)


class Dialogue:
    """SMTP by hand: bytes out, replies in. A reply is (code, text with all its lines)."""
    def __init__(self, address, port, seconds=20, source=None):
        self.socket = socket.create_connection((address, port), seconds * SLOW, (source, 0) if source else None)
        self.file = self.socket.makefile('rb')
        self.banner = self.reply()

    def reply(self):
        """The next reply; (0, '') when the connection is closed."""
        lines = []
        while True:
            try:
                line = self.file.readline(65536)
            except ConnectionError:
                line = b''
            if not line:
                return 0, ''
            lines.append(line.decode('utf-8', 'replace').rstrip('\r\n'))
            assert re.match(r'\d{3}[ -]|\d{3}$', lines[-1]), f'no SMTP reply: {line!r}'
            assert line.endswith(b'\r\n'), f'reply without CRLF: {line!r}'
            if lines[-1][3:4] != '-':
                return int(lines[-1][:3]), '\n'.join(lines)

    def raw(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def say(self, line, expect=None):
        try:
            self.raw(line + '\r\n')
        except ConnectionError:
            pass  # what they said before they hung up may still be there to read
        got = self.reply()
        if expect is not None:
            assert got[0] in (expect if isinstance(expect, tuple) else (expect,)), f'{line[:100]!r}: {got}'
        return got

    def ehlo(self, name='client.test'):
        return self.say(f'EHLO {name}', 250)[1]

    def envelope(self, sender, *to):
        self.say(f'MAIL FROM:<{sender}>', 250)
        for t in to:
            self.say(f'RCPT TO:<{t}>', 250)

    def starttls(self):
        self.say('STARTTLS', 220)
        self.socket = NO_NAME.wrap_socket(self.socket)
        self.file = self.socket.makefile('rb')

    def closed(self):
        """Whether the other side hangs up (waits for it)."""
        try:
            while self.file.read(4096):
                pass
            return True
        except (TimeoutError, socket.timeout):
            return False
        except OSError:
            return True

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


_silent = None


def silent_dns():
    """The port of a resolver that knows no name and says so at once, so that no story waits for a network."""
    global _silent
    if _silent is None:
        import threading
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(('127.0.0.1', 0))
        _silent = s

        def serve():
            while True:
                query, peer = s.recvfrom(4096)
                end = 12
                while end < len(query) and query[end]:
                    end += query[end] + 1
                if end + 5 <= len(query):  # the question comes back: NXDOMAIN, no records
                    s.sendto(query[:2] + b'\x81\x83' + b'\0\1' + b'\0\0' * 3 + query[12:end + 5], peer)
        threading.Thread(target=serve, daemon=True).start()
    return _silent.getsockname()[1]
