# SPDX-License-Identifier: Apache-2.0
"""smtp(8) and lmtp(8) beside Debian's where TLS counts: a way out in master.cf for each wish, the same for both. What the server saw of the
handshake (version, cipher, name, certificate), and the line of the delivery in the log, must be the same."""
import os, re, ssl, subprocess
import pytest
import postfix as postfix_
from around import *
from test_client_beside import Case as Plain, Side as PlainSide, Server as PlainServer, play

pytestmark = pytest.mark.root
LOGIN = 'smtp_sasl_auth_enable=yes; smtp_sasl_password_maps=static:ann:s3cret'
EC = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')


# what one service cannot have of its own
MAIN = '''tls_wildcard_matches_multiple_labels = no
tls_high_cipherlist = ECDHE+AES128
'''


class Case(Plain):
    def __init__(self, name, options, level='encrypt', pair='ec', asked=False, most=None, ciphers=None, login=False, **more):
        super().__init__(name, f'smtp_tls_security_level={level}; {options}', offers=('STARTTLS', *['AUTH PLAIN LOGIN'] * login), **more)
        self.pair, self.asked, self.most, self.ciphers = pair, asked, most, ciphers


# {x} in options: a file of the folder, {x:print} its fingerprint; the server is mx.sink.test, 127.0.0.1 by its address
CASES = [
    Case('plain', ''),
    Case('opportunist', '', level='may'),
    Case('old', 'smtp_tls_protocols=TLSv1.2', level='may'),
    Case('oldmust', 'smtp_tls_mandatory_protocols=!TLSv1.3, !TLSv1, !TLSv1.1'),
    Case('newonly', 'smtp_tls_mandatory_protocols=>=TLSv1.3', most='1.2'),
    Case('grade', 'smtp_tls_ciphers=high; smtp_tls_protocols=TLSv1.2', level='may'),
    Case('grademust', 'smtp_tls_mandatory_ciphers=high; smtp_tls_mandatory_protocols=TLSv1.2'),
    Case('without', 'smtp_tls_exclude_ciphers=AES256, CHACHA20; smtp_tls_mandatory_protocols=TLSv1.2'),
    Case('withoutmust', 'smtp_tls_mandatory_exclude_ciphers=AES256, CHACHA20; smtp_tls_mandatory_protocols=TLSv1.2'),
    Case('nonecommon', 'smtp_tls_exclude_ciphers=AES256; smtp_tls_mandatory_protocols=TLSv1.2', ciphers='ECDHE+AES256'),
    Case('named', 'smtp_tls_servername=other.name.test'),
    Case('namedhost', 'smtp_tls_servername=hostname', where='[mx.sink.test]:{port}', only='smtp'),
    Case('verifynot', 'smtp_tls_verify_cert_match=nexthop', level='verify'),
    Case('verify', 'smtp_tls_CAfile={ca.crt}; smtp_tls_verify_cert_match=mx.sink.test', level='verify', pair='leaf'),
    Case('verifypath', 'smtp_tls_CApath={capath}; smtp_tls_verify_cert_match=mx.sink.test', level='verify', pair='leaf'),
    Case('verifyother', 'smtp_tls_CAfile={ca.crt}; smtp_tls_verify_cert_match=other.test', level='verify', pair='leaf'),
    Case('verifydot', 'smtp_tls_CAfile={ca.crt}; smtp_tls_verify_cert_match=.sink.test', level='verify', pair='leaf'),
    Case('secure', 'smtp_tls_CAfile={ca.crt}; smtp_tls_secure_cert_match=.sink.test:mx.test', level='secure', pair='leaf'),
    Case('securenot', 'smtp_tls_CAfile={ca.crt}', level='secure', pair='leaf'),
    Case('star', 'smtp_tls_CAfile={ca.crt}; smtp_tls_secure_cert_match=a.b.star.test', level='secure', pair='star'),
    Case('staronce', 'smtp_tls_CAfile={ca.crt}; smtp_tls_secure_cert_match=b.star.test', level='secure', pair='star'),
    *[Case(f'depth{depth}{pair}', f'smtp_tls_CAfile={{ca.crt}}; smtp_tls_secure_cert_match=mx.sink.test:deep.test; smtp_tls_scert_verifydepth={depth}',
           level='secure', pair=pair) for depth in (0, 1, 2) for pair in ('leaf', 'deep', 'deeper')],
    Case('print', 'smtp_tls_fingerprint_digest=sha256; smtp_tls_fingerprint_cert_match={ec.crt:print}', level='fingerprint'),
    Case('printnot', 'smtp_tls_fingerprint_digest=sha256; smtp_tls_fingerprint_cert_match={ca.crt:print}', level='fingerprint'),
    Case('anchor', 'smtp_tls_trust_anchor_file={ca.crt}; smtp_tls_secure_cert_match=mx.sink.test', level='secure', pair='leaf'),
    Case('own', 'smtp_tls_cert_file={leaf.crt}; smtp_tls_key_file={leaf.key}', asked=True),
    Case('ownec', 'smtp_tls_eccert_file={leaf.crt}; smtp_tls_eckey_file={leaf.key}', asked=True),
    Case('ownfile', 'smtp_tls_cert_file={leaf.pem}', asked=True),
    Case('owneckey', 'smtp_tls_eccert_file={leaf.pem}', asked=True),
    Case('chain', 'smtp_tls_chain_files={leaf.key},{leaf.crt}', asked=True),
    Case('dsa', 'smtp_tls_dcert_file={dsa.crt}; smtp_tls_dkey_file={dsa.key}; smtp_tls_mandatory_protocols=TLSv1.2; smtp_tls_mandatory_ciphers=low', asked=True, ciphers='ALL:@SECLEVEL=0', differs='C11'),
    Case('policy', 'smtp_tls_policy_maps=static:{secure match=mx.sink.test}; smtp_tls_CAfile={ca.crt}', level='may', pair='leaf'),
    Case('login', LOGIN + '; smtp_sasl_security_options=noplaintext; smtp_sasl_tls_security_options=noanonymous', login=True, AUTH='235 2.7.0 welcome'),
    Case('loginnot', LOGIN + '; smtp_sasl_security_options=; smtp_sasl_tls_security_options=noplaintext', login=True),
    Case('loginproved', LOGIN + '; smtp_sasl_security_options=noplaintext; smtp_sasl_tls_security_options=noplaintext; '
         'smtp_sasl_tls_verified_security_options=noanonymous; smtp_tls_CAfile={ca.crt}; smtp_tls_secure_cert_match=mx.sink.test', level='secure', pair='leaf',
         login=True, AUTH='235 2.7.0 welcome'),
    Case('loginprovednot', LOGIN + '; smtp_sasl_security_options=; smtp_sasl_tls_security_options=; '
         'smtp_sasl_tls_verified_security_options=noplaintext; smtp_tls_CAfile={ca.crt}; smtp_tls_secure_cert_match=mx.sink.test', level='secure', pair='leaf', login=True),
]


def signed(folder, name, by=None, authority=False, names=(), key=EC):
    """A certificate of an authority, or of its own, and a file with both it and the key."""
    issuer = ['-CA', f'{folder}/{by}.crt', '-CAkey', f'{folder}/{by}.key'] if by else []
    more = ['-addext', 'basicConstraints=critical,CA:TRUE'] if authority else ['-addext', 'basicConstraints=CA:FALSE']
    more += ['-addext', 'subjectAltName=' + ','.join(f'DNS:{n}' for n in names)] if names else []
    crt, pem = f'{folder}/{name}.crt', f'{folder}/{name}.key'
    subprocess.run(['openssl', 'req', '-x509', *issuer, *key, '-nodes', '-days', '9', '-out', crt, '-keyout', pem, '-subj', f'/CN={(names or [name])[0]}', *more],
                   check=True, capture_output=True)
    with open(f'{folder}/{name}.pem', 'w') as f:
        f.write(open(pem).read() + open(crt).read())


def certificates(folder):
    signed(folder, 'ca', authority=True)
    signed(folder, 'middle', by='ca', authority=True)
    signed(folder, 'ec', names=['mx.sink.test'])
    signed(folder, 'leaf', by='ca', names=['mx.sink.test'])
    signed(folder, 'star', by='ca', names=['*.star.test'])
    signed(folder, 'inner', by='middle', authority=True)
    signed(folder, 'deep', by='middle', names=['deep.test'])
    signed(folder, 'deeper', by='inner', names=['deep.test'])
    for name, above in (('deep', ['middle']), ('deeper', ['inner', 'middle'])):
        with open(f'{folder}/{name}.crt', 'a') as f:
            f.write(''.join(open(f'{folder}/{a}.crt').read() for a in above))
    subprocess.run(['openssl', 'dsaparam', '-out', f'{folder}/dsa.param', '2048'], check=True, capture_output=True)
    signed(folder, 'dsa', names=['dsa.test'], key=('-newkey', f'dsa:{folder}/dsa.param'))
    os.makedirs(f'{folder}/capath', exist_ok=True)
    subprocess.run(['cp', f'{folder}/ca.crt', f'{folder}/capath/ca.pem'], check=True)
    subprocess.run(['openssl', 'rehash', f'{folder}/capath'], check=True, capture_output=True)
    os.system(f'chmod -R a+rX {folder}')


def filled(text, folder):
    def file(m):
        path = f'{folder}/{m[1]}'
        if not m[2]:
            return path
        return subprocess.run(['openssl', 'x509', '-in', path, '-noout', '-fingerprint', '-sha256'], capture_output=True, text=True).stdout.split('=')[1].strip()
    return re.sub(r'\{([\w.]+\.(?:crt|key|pem)|capath)(:print)?\}', file, text)


class Server(PlainServer):
    def __init__(self, case, folder):
        self.folder, self.handshakes = folder, []
        super().__init__(case)

    def _session(self, peer, file):
        case, name = self.case, []
        peer.sendall(b'220 sink.test ESMTP\r\n')
        while (line := file.readline(65536).decode()):
            verb = line[:4].upper()
            if verb in ('EHLO', 'LHLO'):
                peer.sendall(b'250-sink.test\r\n250 STARTTLS\r\n')
            elif verb == 'STAR':
                peer.sendall(b'220 2.0.0 go on\r\n')
                break
            else:
                peer.sendall(b'221 2.0.0 bye\r\n')
                self.said.append(line)
                return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f'{self.folder}/{case.pair}.crt', f'{self.folder}/{case.pair}.key')
        context.sni_callback = lambda s, n, c: name.append(n)
        if case.most:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        if case.ciphers:
            context.set_ciphers(case.ciphers)
        if case.asked:
            context.verify_mode = ssl.CERT_OPTIONAL
            for ca in 'ca.crt', 'dsa.crt':
                context.load_verify_locations(f'{self.folder}/{ca}')
        peer = context.wrap_socket(peer, server_side=True)
        subject = dict(p[0] for p in (peer.getpeercert() or {}).get('subject', ()))
        self.handshakes.append((peer.version(), peer.cipher()[0], name[:1] if 'named' in case.name else [], subject.get('commonName')))
        self.greeted = True
        super()._session(Quiet(peer), peer.makefile('rb'))


class Quiet:
    """A connection on which the greeting was said before."""
    def __init__(self, socket):
        self.socket, self.first = socket, True

    def sendall(self, data):
        if self.first:
            self.first = False
        else:
            self.socket.sendall(data)


class Side(PlainSide):
    def __init__(self, protocol, folder):
        super().__init__(protocol, CASES, lambda c: Server(c, folder), lambda text: filled(text, folder))
        self.main += MAIN

    def told(self, name, log):
        told = super().told(name, log)
        if 'status=sent' not in str(told['log']):  # difference C10: what went wrong is told more closely; when the server knows of it, is the version's
            told['log'] = [re.sub(r'\((Server certificate not verified|Cannot start TLS).*', '(no TLS)', l) for l in told['log']]
            return {**told, 'handshakes': []}
        return {**told, 'handshakes': self.servers[name].handshakes}


@postfix_.to_the_letter
@pytest.mark.parametrize('protocol', ['smtp', 'lmtp'])
@pytest.mark.root
def test_handshakes(hosts, dns, folder, protocol):
    certificates(folder)
    ours, theirs = Side(protocol, folder), Side(protocol, folder)
    report = play(hosts, folder, ours, theirs, dns=dns('mx.sink.test. IN A 127.0.0.1', address=own_address(), port=53))
    assert not report, f'{len(report)} differences:\n' + '\n'.join(report)
