# SPDX-License-Identifier: Apache-2.0
"""src/trust/trust.probe.c from Python: signatures made and verified by our code, with keys and a name server of the test's."""
import collections, os, subprocess
import dns.rdatatype
import around, dnsd

PROBE = os.path.join(os.path.dirname(os.path.abspath(around.HATO)), 'src', 'probe-trust')
Verdict = collections.namedtuple('Verdict', 'result domain selector identity algorithm bits testing partial from_signed start reason')
Chain = collections.namedtuple('Chain', 'result oldest sets reason')


class Keys(dnsd.Dnsd):
    """A name server that knows TXT records: {name: text, list of texts, None: no such name, dnsd.TIMEOUT}."""
    def __init__(self, texts):
        self.texts = {}
        for name, text in texts.items():
            self.put(name, text)
        super().__init__(self.find)

    def put(self, name, text):
        name = dnsd.name_of(name)
        self.texts[name] = text if text is None or text == dnsd.TIMEOUT else [dnsd.txt(t) for t in ([text] if isinstance(text, str) else text)]

    def find(self, name, kind):
        found = self.texts.get(name)
        if found is None:
            return [] if any(n.is_subdomain(name) for n in self.texts) else None
        return found if found == dnsd.TIMEOUT or kind == dns.rdatatype.TXT else []


def crlf(mail):
    mail = mail.encode() if isinstance(mail, str) else mail
    return mail.replace(b'\r\n', b'\n').replace(b'\n', b'\r\n')


def run(command, mail, keys=None, **options):
    """A list stands for an option given more than once."""
    words = [PROBE, command]
    if keys:
        words += ['--dns', f'{keys.address}:{keys.port}']
    for name, value in options.items():
        for v in value if isinstance(value, list) else [value]:
            words += ['--' + name, str(v)]
    env = dict(os.environ)  # answers to dns_hint that nobody waited for are not freed when the program ends
    env['ASAN_OPTIONS'] = env.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
    done = subprocess.run([*words, '-'], input=mail, capture_output=True, timeout=60 * around.SLOW, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def verify(mail, keys, **options):
    return [Verdict(*line.split('\t')) for line in run('verify', mail, keys, **options).decode().splitlines()]


def arc(mail, keys, **options):
    return Chain(*run('arc', mail, keys, **options).decode().rstrip('\n').split('\t'))


def sign(mail, **options):
    return run('sign', mail, **options)


def seal(mail, **options):
    return run('seal', mail, **options)


def make_key(folder, name, kind='rsa', bits=2048):
    """(path of the private key, the record's p=)"""
    path = f'{folder}/{name}.pem'
    how = ['genrsa', '-out', path, str(bits)] if kind == 'rsa' else ['genpkey', '-algorithm', 'ed25519', '-out', path]
    subprocess.run(['openssl', *how], check=True, capture_output=True)
    der = subprocess.run(['openssl', 'pkey', '-in', path, '-pubout', '-outform', 'DER'], check=True, capture_output=True).stdout
    import base64
    return path, base64.b64encode(der if kind == 'rsa' else der[-32:]).decode()
