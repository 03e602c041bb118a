# SPDX-License-Identifier: Apache-2.0
"""smtpd(8) beside Debian's where time and certificates count: a listener for each wish, the same clients."""
import concurrent.futures, os, re, socket, ssl, subprocess, time
import pytest
import postfix as postfix_
from around import *
from clients import *

pytestmark = pytest.mark.root
MAIN = '''myhostname = mail.twin.test
mydomain = twin.test
myorigin = twin.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_domains =
relay_domains =
default_transport = discard:
notify_classes =
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = no
'''
TIMED = 'smtpd_timeout=3 ;; mynetworks=127.0.0.0/8'


class Client:
    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port), 30 * SLOW)
        self.file = self.socket.makefile('rb')
        self.reply()
        self.began = time.monotonic()  # of the last wait

    def reply(self):
        while True:
            try:
                line = self.file.readline().decode()
            except (OSError, ssl.SSLError):
                return '(cut)'
            if not line:
                return '(closed)'
            if line[3:4] != '-':
                return re.sub(r'queued as \w+', 'queued', line.strip())

    def say(self, line):
        self.socket.sendall(line.encode() + b'\r\n')
        self.began, answer = time.monotonic(), self.reply()
        return answer

    def drip(self, text, size, pause, most=20):
        """What comes back while text is sent in pieces, or behind it."""
        self.began = time.monotonic()
        self.socket.settimeout(pause)
        for i in range(0, len(text), size):
            try:
                self.socket.sendall(text[i:i + size].encode())
                if self.socket.recv(1, socket.MSG_PEEK) is not None:
                    break
            except TimeoutError:
                continue
            except OSError:
                return '(cut)'
        self.socket.settimeout(most)
        return self.reply()

    def envelope(self):
        return [self.say(l) for l in ('EHLO client.test', 'MAIL FROM:<a@client.test>', 'RCPT TO:<b@far.test>', 'DATA')][-1]


def silent(c):
    return c.reply()


def silent_after_hello(c):
    return [c.say('EHLO client.test'), c.reply()]


def silent_in_line(c):
    c.socket.sendall(b'NOOP')
    return c.reply()


def silent_in_text(c):
    return [c.envelope(), c.drip('Subject: x\r\n\r\nhalf', 100, 0.1)]


def slow_line(c):
    return c.drip('NOOP 0123\r\n', 2, 1)


def slow_text(c):
    return [c.envelope(), c.drip('Subject: x\r\n\r\n' + 'x\r\n' * 10 + '.\r\n', 8, 1)]


def steady_text(c):
    return [c.envelope(), c.drip('Subject: x\r\n\r\n' + ('x' * 48 + '\r\n') * 100 + '.\r\n', 1000, 1)]


def no_handshake(c):
    return [c.say('EHLO client.test'), c.say('STARTTLS'), c.reply()]


def certificate(names, which):
    def run(c):
        c.say('EHLO client.test')
        c.say('STARTTLS')
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if which:
            context.load_cert_chain(*names[which])
        try:
            c.socket = context.wrap_socket(c.socket)
        except OSError:
            return '(no handshake)'
        c.file = c.socket.makefile('rb')
        try:  # whoever is turned away behind the handshake sees an end, an alert or a reset, as the packets fall
            return [c.say(l) for l in ('EHLO client.test', 'MAIL FROM:<a@client.test>', 'RCPT TO:<b@far.test>')][-1]
        except OSError:
            return '(closed)'
    run.__name__ = f'certificate_{which}'
    return run


def signed(folder, name, ca):
    """A certificate of this authority."""
    paths = f'{folder}/{name}.crt', f'{folder}/{name}.key'
    subprocess.run(['openssl', 'req', '-x509', '-CA', ca[0], '-CAkey', ca[1], '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '9',
                    '-out', paths[0], '-keyout', paths[1], '-subj', f'/CN={name}'], check=True, capture_output=True)
    return paths


@postfix_.to_the_letter
def test_listeners(hosts, folder):
    ca, own = make_certificate(folder, 'ca', 'ca.test'), make_certificate(folder, 'own', 'own.test')
    server_pair = make_certificate(folder, 'server', 'mail.twin.test')
    names = {'signed': signed(folder, 'friend', ca), 'own': own}
    digest = subprocess.run(['openssl', 'x509', '-in', names['signed'][0], '-noout', '-fingerprint', '-sha256'], capture_output=True, text=True).stdout.split('=')[1].strip()
    tls = (f'smtpd_tls_security_level=may ;; smtpd_tls_chain_files={server_pair[1]},{server_pair[0]} ;; smtpd_tls_CAfile={ca[0]} ;; '
           f'smtpd_tls_fingerprint_digest=sha256 ;; mynetworks=10.9.9.0/24')
    asked = f'{tls} ;; smtpd_tls_ask_ccert=yes'
    os.makedirs(f'{folder}/capath')
    with open(f'{folder}/capath/ca.pem', 'w') as f:
        f.write(open(ca[0]).read())
    subprocess.run(['openssl', 'rehash', f'{folder}/capath'], check=True, capture_output=True)
    by_path = asked.replace(f'smtpd_tls_CAfile={ca[0]}', f'smtpd_tls_CApath={folder}/capath')
    certificates = [certificate(names, which) for which in (None, 'signed', 'own')]
    cases = {
        'quick': (TIMED, [silent, silent_after_hello, silent_in_line, silent_in_text, slow_line, slow_text, steady_text]),
        'request': (f'{TIMED} ;; smtpd_per_request_deadline=yes', [silent_in_line, silent_in_text, slow_line, slow_text, steady_text]),
        'record': (f'{TIMED} ;; smtpd_per_record_deadline=yes', [slow_line, slow_text]),
        'rate': (f'{TIMED} ;; smtpd_per_request_deadline=yes ;; smtpd_min_data_rate=5', [slow_text, steady_text]),
        'handshake': (f'{tls} ;; smtpd_starttls_timeout=2', [no_handshake]),
        'all': (f'{asked} ;; smtpd_relay_restrictions=permit_tls_all_clientcerts,reject', certificates),
        'all_unasked': (f'{tls} ;; smtpd_relay_restrictions=permit_tls_all_clientcerts,reject', certificates),
        'path': (f'{by_path} ;; smtpd_tls_ccert_verifydepth=1 ;; smtpd_relay_restrictions=permit_tls_all_clientcerts,reject', certificates),
        'listed': (f'{asked} ;; smtpd_relay_restrictions=permit_tls_clientcerts,reject ;; relay_clientcerts=inline:{{{digest}=x}}', certificates),
        'required': (f'{asked} ;; smtpd_tls_req_ccert=yes ;; smtpd_tls_security_level=encrypt ;; smtpd_relay_restrictions=permit_tls_all_clientcerts,reject', certificates),
        'access': (f'{asked} ;; mynetworks=127.0.0.0/8 ;; smtpd_client_restrictions=check_ccert_access inline:{{{digest}=REJECT}}', certificates),
    }
    got = {}
    for side in 'hato', 'postfix':
        ports = dict(zip(cases, [free_port() for _ in cases]))
        lines = ''.join(f'127.0.0.1:{ports[n]} inet n - n - - smtpd ' + ' '.join('-o { %s }' % o for o in options.split(' ;; ')) + '\n'
                        for n, (options, _) in cases.items())
        if side == 'hato':
            server = hosts('mail.twin.test', 'compatibility_level = 3.6\n' + MAIN, services={'smtp': 'smtpd'}, start=False)
            with open(server.folder + '/master.cf', 'a') as f:
                f.write(lines)
        else:
            server = postfix_.Postfix(f'{folder}/postfix', 'twin.test', port=free_port(), tls=False, main=MAIN)
            with open(server.folder + '/etc/master.cf', 'a') as f:
                f.write(lines)
        server.start()

        def one(name, play):
            client = Client('127.0.0.1', ports[name])
            said = play(client)
            return name, play.__name__, said, time.monotonic() - client.began
        try:
            with concurrent.futures.ThreadPoolExecutor(40) as pool:
                jobs = [pool.submit(one, n, play) for n, (_, plays) in cases.items() for play in plays]
                for job in jobs:
                    name, play, said, seconds = job.result()
                    got[side, name, play] = said, seconds
        finally:
            log = server.log()
            server.stop()
    report = []
    for side, name, play in got:
        if side == 'postfix':
            continue
        (a, mine), (b, theirs) = got['hato', name, play], got['postfix', name, play]
        if a != b or abs(mine - theirs) > 3 * SLOW:
            report.append(f'{name} {play}: hato {a} after {mine:.1f} s, Postfix {b} after {theirs:.1f} s')
    assert not report, '\n'.join(report) + '\n' + log[-1500:]
