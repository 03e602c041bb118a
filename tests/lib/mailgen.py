# SPDX-License-Identifier: Apache-2.0
"""mails(count, seed): messages of all the shapes that mail has and should not have, the same ones every time. Lines end in
CRLF; there is no NUL."""
import base64, quopri, random

NAMES = ['Ann Example', '"Example, Bob"', '=?utf-8?q?J=C3=B6rg?=', '=?iso-2022-jp?b?GyRCSDcbKEI=?=', '"quoted \\"inside\\""', 'A. B.', '(comment) Carl',
         '', 'Jörg raw', "O'Neill"]
ADDRESSES = ['ann@example.test', 'bob.b@sub.example.test', '"odd local"@example.test', 'x@[192.0.2.1]', 'nodomain']
WORDS = 'mail server pigeon letter 日本語 naïve 世界 queue hat plain =?utf-8?q?enc?= tab\there "quote" back\\slash (paren) [bracket] semi;colon'.split(' ')
TYPES = ['text/plain', 'text/html', 'application/pdf', 'image/png', 'TEXT/Plain', 'application/octet-stream', 'message/delivery-status']
CHARSETS = ['utf-8', 'iso-8859-1', 'ISO-2022-JP', 'Shift_JIS', 'gb18030', 'windows-1251', 'unknown-8bit', '"us-ascii"', '']
ENCODINGS = ['7bit', '8bit', 'base64', 'quoted-printable', 'Base64', 'BINARY', '', 'QUOTED-PRINTABLE']


class Mail:
    def __init__(self, r):
        self.r, self.depth = r, 0

    def some(self, things, least=0, most=3):
        return [self.r.choice(things) for _ in range(self.r.randint(least, most))]

    def text(self, least=0, most=8):
        return ' '.join(self.some(WORDS, least, most))

    def address(self):
        name, address = self.r.choice(NAMES), self.r.choice(ADDRESSES)
        form = self.r.random()
        if form < .6:
            return f'{name} <{self.r.choice([""] * 9 + ["@route.test:"]) if "@" in address else ""}{address}>'
        return address if form < .8 else f'{address} ({self.text(1, 2)})' if form < .9 else f'<{address}>'

    def addresses(self):
        form = self.r.random()
        if form < .05:
            return ''
        if form < .12:
            return f'{self.r.choice(["Group", "undisclosed-recipients"])}: {", ".join(self.address() for _ in range(self.r.randint(0, 2)))};'
        return self.r.choice([', ', ',', ',\r\n ', ' , ']).join(self.address() for _ in range(self.r.randint(1, 3)))

    def params(self, *known):
        out = ''.join(f';{self.r.choice([" ", "", chr(13) + chr(10) + chr(9)])}{p}' for p in known if p)
        more = ['; name="a b.txt"', "; name*=utf-8''%e3%83%8f%e3%83%88.txt", '; x="esc\\"aped"', '; format=flowed', '; NAME2="=?utf-8?b?w6k=?="', '; delsp=yes']
        out += ''.join(self.r.sample(more, self.r.choice([0, 0, 0, 1, 2])))
        return out

    def more(self):
        out = ''
        if self.r.random() < .3:
            out += f'Content-Disposition: {self.r.choice(["attachment", "inline", "ATTACHMENT"])}' + self.r.choice(['', '; filename="f.bin"', "; filename*=utf-8''%c3%a9.txt", '; filename=a.txt; size=12']) + '\r\n'
        for field in ('Content-ID: <id@example.test>', 'Content-Description: about it', 'Content-Language: en, ja', 'Content-Location: http://example.test/x',
                      'Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ=='):
            if self.r.random() < .08:
                out += field + '\r\n'
        return out

    def body(self):
        return ''.join(self.text(0, 12) + '\r\n' for _ in range(self.r.choice([0, 1, 1, 2, 5]))) + self.r.choice(['', '', 'no line end'])

    def leaf(self):
        type_, charset, encoding, body = self.r.choice(TYPES), self.r.choice(CHARSETS), self.r.choice(ENCODINGS), self.body()
        head = f'Content-Type: {type_}{self.params(charset and "charset=" + charset)}\r\n' if self.r.random() < .9 else ''
        head += f'Content-Transfer-Encoding: {encoding}\r\n' if encoding else ''
        raw = body.encode()
        if encoding.lower() == 'base64':
            raw = base64.encodebytes(raw).replace(b'\n', b'\r\n')
        if encoding.lower() == 'quoted-printable':
            raw = quopri.encodestring(raw.replace(b'\r\n', b'\n')).replace(b'\n', b'\r\n')
        return head + self.more(), raw

    def part(self):
        """(header fields, body)"""
        self.depth += 1
        form = self.r.random()
        if self.depth > 4 or form < .5:
            out = self.leaf()
        elif form < .62:
            out = self.r.choice(['Content-Type: message/rfc822\r\n', 'Content-Type: MESSAGE/RFC822; name=x\r\n']) + self.more(), self.message(inner=True)
        else:
            out = self.multipart()
        self.depth -= 1
        return out

    def multipart(self):
        boundary = self.r.choice(['b', 'x y', "=_b'()+,-./:=?", 'b1', 'b11']) + str(self.r.randint(0, 99))
        sub = self.r.choice(['mixed', 'alternative', 'related', 'MIXED', 'digest', 'signed', 'x-own'])
        body = self.r.choice([b'', b'', b'preamble\r\n', 'präambel\r\n'.encode()])
        for _ in range(self.r.choice([0, 1, 1, 2, 2, 3])):
            head, raw = self.part()
            body += f'--{boundary}{self.r.choice(["", "", "  "])}\r\n{head}\r\n'.encode() + raw + b'\r\n'
        body += self.r.choice([f'--{boundary}--\r\n', f'--{boundary}--', '', f'--{boundary}--\r\nepilogue\r\n']).encode()
        said = self.r.choice([f'boundary="{boundary}"', f'BOUNDARY="{boundary}"']) if ' ' in boundary or '(' in boundary else self.r.choice([f'boundary={boundary}', f'boundary="{boundary}"'])
        return f'Content-Type: multipart/{sub}{self.params(said)}\r\n' + self.more(), body

    def message(self, inner=False):
        r, fields = self.r, []
        for name in ('From', 'Sender', 'Reply-To', 'To', 'Cc', 'Bcc'):
            if r.random() < {'From': .95, 'To': .9, 'Cc': .4}.get(name, .2):
                fields.append(f'{name}: {self.addresses()}')
        if r.random() < .9:
            fields.append(f'Subject:{r.choice([" ", "", chr(13) + chr(10) + " ", "  "])}{self.text()}')
        if r.random() < .9:
            fields.append('Date: ' + r.choice(['Mon, 02 Nov 2026 10:00:00 +0000', '2 Nov 26 10:00 GMT', 'nonsense', 'Mon, 2 Nov 2026 10:00:00 +0900 (JST)']))
        if r.random() < .9:
            fields.append('Message-ID: ' + r.choice(['<a@example.test>', 'no brackets', '<a b@example.test>', '']))
        if r.random() < .3:
            fields.append('In-Reply-To: ' + r.choice(['<b@example.test>', '<b@example.test> <c@example.test>', 'your mail of today', '<b@example.test>\r\n\t<d@example.test>']))
        if r.random() < .05:
            fields.append('no colon in this line')
        r.shuffle(fields)
        head, body = self.part() if r.random() < .9 else ('', self.body().encode())
        mime = 'MIME-Version: 1.0\r\n' if r.random() < .8 or 'Content-Type' not in head else ''
        return ''.join(f + '\r\n' for f in fields).encode() + (mime + head).encode() + (b'' if r.random() < .01 and not body else b'\r\n' + body)


def mails(count, seed=2045):
    r = random.Random(seed)
    for _ in range(count):
        yield Mail(r).message()
