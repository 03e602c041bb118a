# SPDX-License-Identifier: Apache-2.0
"""What FETCH says of a message and of each of its parts, beside Debian's Dovecot with the same messages: those of data/mime
and 5,000 generated ones. A difference is a fault of ours, or stands in EXPLAINED with its reason.

HATO_MAILS (5000), HATO_MAIL_SEED for more or other ones."""
import collections, glob, os, pathlib, re, shutil, socket, sys, tempfile
import pytest
from around import *
from hato import running
import mailgen

sys.path.append(TOP + '/bench')
import mailstack

ANN, GENERATED = 'ann@example.test', int(os.environ.get('HATO_MAILS') or 5000)
SEED = int(os.environ.get('HATO_MAIL_SEED') or 2045)


def corpus():
    for path in sorted(glob.glob(f'{TOP}/tests/data/mime/*/*')):
        if os.path.isdir(path) or path.endswith(('.txt', '.json', '.xml', 'COPYING')) or '/structures/' in path:
            continue
        with open(path, 'rb') as f:
            text = re.sub(rb'\r?\n', b'\r\n', f.read())
        if text and b'\0' not in text:  # an APPEND takes no NUL
            yield os.path.relpath(path, TOP + '/tests/data/mime'), text


def messages():
    return list(corpus()) + [(f'generated {n}', m) for n, m in enumerate(mailgen.mails(GENERATED, SEED)) if m]


class Literal(bytes):
    pass


TOKEN = re.compile(rb'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|((?:[^\s()"\[{]|\[[^\]]*\])+))', re.S)


def parse(line):
    """Lists, atoms as str, strings as bytes."""
    stack, at = [[]], 0
    while at < len(line):
        m = TOKEN.match(line, at)
        if not m:
            break
        at = m.end()
        if m.group(1) == b'(':
            stack.append([])
        elif m.group(1) == b')':
            last = stack.pop()
            stack[-1].append(last)
        elif m.group(2) is not None:
            stack[-1].append(re.sub(rb'\\(.)', rb'\1', m.group(2)))
        elif m.group(3):
            stack[-1].append(line[at:at + int(m.group(3))])
            at += int(m.group(3))
        else:
            word = m.group(4).decode('latin-1')
            stack[-1].append(None if word == 'NIL' else word)
    return stack[0]


class Client:
    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(('127.0.0.1', port), 60 * SLOW)
        self.file = self.socket.makefile('rb')
        self.file.readline()
        self.command(f'LOGIN {ANN} secret'.encode())

    def response(self):
        line = self.file.readline()
        assert line, f'{self.port}: the server hung up in {self.said[:600]}'
        while (m := re.search(rb'~?\{(\d+)\}\r\n$', line)):
            line += self.file.read(int(m.group(1))) + self.file.readline()
        return line

    def command(self, text, fit=b'OK'):
        self.said = text
        self.socket.sendall(b'x ' + text + b'\r\n')
        lines = [self.response()]
        while not lines[-1].startswith(b'x '):
            lines.append(self.response())
        assert lines[-1].startswith(b'x ' + fit), (text[:200], lines[-1])
        return lines

    def fill(self, all_):
        for n in range(0, len(all_), 100):
            self.command(b'APPEND INBOX' + b''.join(b' {%d+}\r\n%s' % (len(m), m) for _, m in all_[n:n + 100]))
        self.command(b'EXAMINE INBOX')

    def fetch(self, which, items):
        """{number: {item: value}}"""
        out = {}
        for line in self.command(b'FETCH %s (%s)' % (which.encode(), items.encode()), b''):
            if line.startswith(b'* ') and b' FETCH (' in line[:30]:
                words = parse(line)
                out[int(words[1])] = dict(zip([k.upper() for k in words[3][::2]], words[3][1::2]))
        return out


def sections(structure, prefix='', top=True):
    """Every section that the parts of a BODYSTRUCTURE have."""
    if isinstance(structure[0], list):
        parts = [p for p in structure if isinstance(p, list) and p and isinstance(p[0], (list, bytes))]
        parts = parts[:next((i for i, p in enumerate(structure) if not isinstance(p, list)), len(structure))]
        for n, p in enumerate(parts, 1):
            here = f'{prefix}{n}'
            yield f'BODY.PEEK[{here}]'
            yield f'BODY.PEEK[{here}.MIME]'
            yield from inside(p, here)
    elif top:
        here = f'{prefix}1'
        yield f'BODY.PEEK[{here}]'
        yield f'BODY.PEEK[{here}.MIME]'
        yield from inside(structure, here)


def inside(part, here):
    if isinstance(part[0], list):
        yield from sections(part, here + '.', False)
    elif part[0].lower() == b'message' and part[1].lower() == b'rfc822' and len(part) > 8:
        yield f'BODY.PEEK[{here}.HEADER]'
        yield f'BODY.PEEK[{here}.TEXT]'
        yield f'BODY.PEEK[{here}.HEADER.FIELDS (Subject To)]'
        yield from sections(part[8], here + '.', True)
    elif (part[5] or b'').lower() in (b'base64', b'quoted-printable', b'7bit', b'8bit'):
        yield f'BINARY.PEEK[{here}]'


def one_blank(value):
    """RFC 5322 §2.2.3 unfolds by taking the line end out; Dovecot puts one blank in the place of all there were around it."""
    if isinstance(value, list):
        return [one_blank(v) for v in value]
    return re.sub(rb'[ \t]+', b' ', value).strip() or None if isinstance(value, bytes) else value


def any_order(value):
    """Parameters are a set; Dovecot puts those of RFC 2231 last."""
    if not isinstance(value, list):
        return value
    if len(value) >= 4 and len(value) % 2 == 0 and all(isinstance(v, bytes) for v in value):
        return sorted(zip(value[::2], value[1::2]))
    return [any_order(v) for v in value]


def lower(value):
    """Types, parameters' names and encodings are the same in any case."""
    if isinstance(value, list):
        return [lower(v) for v in value]
    return value.lower() if isinstance(value, bytes) else value


def without_ends(value):
    """The structure without sizes and line counts of messages in messages, and of what ends them."""
    if not isinstance(value, list):
        return '0' if isinstance(value, str) and value.isdigit() else value
    return [without_ends(v) for v in value]


def encloses(text):
    return re.search(rb'message/rfc822|multipart/digest', text, re.I) is not None


def field_lines(header):
    """Fields with their continuation lines, and lines that are none."""
    return re.findall(rb'[^\n]*\n(?:[ \t][^\n]*\n)*', header)


def is_field(line):
    return line == b'\r\n' or re.match(rb'[!-9;-~]+[ \t]*:', line) is not None


# Files of data/mime where both answers are a guess, and why ours is as it is.
BROKEN = {
    'malformed/019.eml': 'two Date fields: the first counts, as for DKIM; Dovecot takes the last',
    'mime4j/double-semicolon.msg': 'an empty parameter (";;") is passed over; Dovecot stops there and loses the boundary',
    'rfc/000.eml': 'in a digest part without a header the text is its message (RFC 2046 §5.1.5)',
    'rfc/001.eml': 'parameters repeated in multipart/alternative; Dovecot says them in another order',
    'rfc/008.eml': 'a message/rfc822 in base64, which RFC 2046 §5.2.1 forbids: the text is not a header',
    'ruby-mail/content_transfer_encoding_qp_with_space.eml': 'an encoding nobody knows is told as it stands; Dovecot says 7bit',
    'ruby-mail/content_transfer_encoding_text-html.eml': 'the same',
    'ruby-mail/missing_body.eml': 'a group without its end inside of an address',
    'ruby-mail/missing_content_disposition.eml': 'a disposition that is only parameters',
    'ruby-mail/multiple_invalid_content_dispositions.eml': 'an encoded word as disposition is told as it stands; Dovecot says NIL',
    'ruby-mail/raw_email_with_binary_encoded.eml': 'fields twice: the first counts',
    'ruby-mail/raw_email_with_multipart_mixed_quoted_boundary.eml': 'fields twice: the first counts',
    'thirdparty/010.eml': 'a raw 8-bit parameter is told; Dovecot says NIL',
}
# The reason why they stay, and which differences they are: of message (name, item, text), ours and theirs.
EXPLAINED = (
    ('the line end before a boundary belongs to the boundary (RFC 2046 §5.1.1); Dovecot counts it to an enclosed message that ends in its '
     'header or in an unfinished multipart',
     lambda name, item, text, a, b: item in ('BODY', 'BODYSTRUCTURE') and encloses(text) and without_ends(a) == without_ends(b)),
    ('the same in bytes: the line end before a boundary, and the empty line after a header that ends without one',
     lambda name, item, text, a, b: isinstance(a, bytes) and isinstance(b, bytes) and a.rstrip(b'\r\n') == b.rstrip(b'\r\n')),
    ('an enclosed message that begins with a line that is no field is all text; Dovecot takes it for a header',
     lambda name, item, text, a, b: encloses(text) and b'' in (a, b)),
    ('a line that is no field belongs to no list of fields, also not to those that were not named',
     lambda name, item, text, a, b: '.NOT' in item and a == b''.join(l for l in field_lines(b) if is_field(l))),
    ('broken mail that Dovecot reads in another way: ' + str(list(BROKEN.values())), lambda name, item, text, a, b: name in BROKEN),
)


def explained(name, item, text, ours, theirs):
    for what, fits in EXPLAINED:
        if fits(name, item, text, ours, theirs):
            return what
    return None


@pytest.fixture(scope='module')
def both():
    if os.geteuid() != 0:
        pytest.skip('Dovecot needs root')
    folder = pathlib.Path(tempfile.mkdtemp(prefix='hato-agreement-'))  # Dovecot's own users must get there
    os.chmod(folder, 0o755)
    peer = mailstack.Dovecot(folder / 'dovecot', 'example.test', ['ann'], 'secret').start()
    try:
        with running(folder / 'hato', ANN, main='imapd_tls_security_level = none\n') as instance:
            all_ = messages()
            clients = Client(instance.ports['imap']), Client(peer.imap)
            for c in clients:
                c.fill(all_)
            yield all_, *clients
    finally:
        peer.stop()
        shutil.rmtree(folder)


def compare(all_, ours, theirs, found, items=None):
    for number in sorted(set(ours) | set(theirs)):
        name, text = all_[number - 1]
        for item in items or sorted(set(ours.get(number, {})) | set(theirs.get(number, {}))):
            a, b = (lower(side.get(number, {}).get(item, 'missing')) if item in ('BODY', 'BODYSTRUCTURE') else side.get(number, {}).get(item, 'missing')
                    for side in (ours, theirs))
            if item in ('BODY', 'BODYSTRUCTURE', 'ENVELOPE'):
                a, b = any_order(one_blank(a)), any_order(one_blank(b))
            if a != b:
                found.append((name, number, item, text, a, b))


def judge(found):
    bad, why = [], collections.Counter()
    for name, number, item, text, a, b in found:
        what = explained(name, item, text, a, b)
        why[what] += 1
        if what is None:
            bad.append(f'{name} ({number}): {item}\n   hato    {a!r}\n   Dovecot {b!r}')
    for what, count in why.items():
        print(f'{count} x {what}')
    assert not bad, f'{len(bad)} differences, the first:\n' + '\n'.join(b[:3000] for b in bad[:int(os.environ.get("HATO_SHOW") or 12)])


def test_envelopes_and_structures(both):
    all_, ours, theirs = both
    found = []
    compare(all_, *(c.fetch('1:*', 'RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY') for c in (ours, theirs)), found)
    judge(found)


def test_parts(both):
    all_, ours, theirs = both
    found = []
    structures = theirs.fetch('1:*', 'BODYSTRUCTURE')
    first = len(list(corpus()))
    for number in [*range(1, first + 1), *range(first + 1, len(all_) + 1, 5)]:  # of the generated ones each fifth: a command each
        items = ['BODY.PEEK[]', 'BODY.PEEK[HEADER]', 'BODY.PEEK[TEXT]', 'BODY.PEEK[HEADER.FIELDS (From Subject CONTENT-TYPE)]', 'BODY.PEEK[]<10.20>',
                 'BODY.PEEK[HEADER.FIELDS.NOT (From Received)]', *sections(structures[number]['BODYSTRUCTURE'])]
        if not all_[number - 1][0].startswith('generated'):  # Dovecot hangs up over base64 that is cut short
            items = [i for i in items if not i.startswith('BINARY')]
        fetched = [c.fetch(str(number), ' '.join(items[:90])) for c in (ours, theirs)]
        compare(all_, *fetched, found)
    judge(found)
