# SPDX-License-Identifier: Apache-2.0
"""Messages to be searched, sorted and threaded, and the questions: seeded, so that every run and every server gets the same.
Threads with gaps, subjects with all that RFC 5256 peels off, dates and Message-IDs that are missing or broken, encoded words and
bodies in the charsets of East and West."""
import base64, email.utils, quopri, random, time

START = 1767225600  # 1 January 2026
LATIN = 'plan budget meeting report invoice holiday release garden music travel'.split()
NORTH = 'Grüße Übersicht Ärger straße café résumé naïve piñata'.split()
EAST = '会議 資料 送付 ガイド 日本語 報告書 予定表 ｶﾞｲﾄﾞ'.split()
PEOPLE = [('Ann', 'ann@example.test'), ('Bob Builder', 'bob@example.test'), ('Émile Zola', 'emile@example.test'),
          ('山田太郎', 'yamada@example.jp'), ('', 'carol@example.test'), ('"Doe, Jane"', 'jane.doe@example.test'),
          ('zoe', 'Zoe@Example.Test'), ('Ärne', 'arne@example.test')]


def word(text, r):
    """text as RFC 2047 would have it, or not at all where it is ASCII."""
    if text.isascii():
        return text
    charset = r.choice([c for c in ('utf-8', 'utf-8', 'iso-2022-jp', 'shift_jis', 'euc-jp', 'iso-8859-1') if fits(text, c)])
    raw = text.encode(charset)
    if r.random() < 0.5:
        return f'=?{charset}?B?{base64.b64encode(raw).decode()}?='
    return f'=?{charset}?Q?{"".join(chr(b) if 48 <= b < 58 or 65 <= b < 91 or 97 <= b < 123 else f"={b:02X}" for b in raw)}?='


def fits(text, charset):
    try:
        return text.encode(charset).decode(charset) == text
    except UnicodeError:
        return False


def subject(r, base, answers):
    text = base
    if answers:
        text = r.choice(['Re: ', 'RE: ', 're:', 'Re[2]: ', 'Fwd: ', 'Fw: ', 'Re: Fwd: ', 'Re: [list] ']) + text
    if r.random() < 0.15:
        text = r.choice(['[list] ', '[a] [b] ', '[hato-dev]']) + text
    if r.random() < 0.05:
        text += ' (fwd)'
    if r.random() < 0.03:
        text = f'[Fwd: {text}]'
    if r.random() < 0.05:
        text = text.replace(' ', '  ', 1) + ' '
    return text


def encoded_subject(text, r):
    return text if text.isascii() else ' '.join(word(part, r) for part in [text])


def address(r):
    name, at = r.choice(PEOPLE)
    if not name:
        return at
    return f'{name if name.startswith(chr(34)) else word(name, r)} <{at}>'


def body(r):
    """(headers, bytes)"""
    kind = r.random()
    words = ' '.join(r.choices(LATIN, k=30))
    if kind < 0.4:
        return 'Content-Type: text/plain; charset=us-ascii\r\n', words.encode()
    if kind < 0.6:
        text = words + ' ' + ' '.join(r.choices(EAST, k=6))
        charset = r.choice(['utf-8', 'iso-2022-jp', 'shift_jis', 'euc-jp', 'gb18030'])
        if not fits(text, charset):
            text, charset = text.replace('ｶﾞｲﾄﾞ', 'ガイド'), charset
        raw = text.encode(charset)
        if r.random() < 0.5 or charset != 'iso-2022-jp':
            return (f'Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n',
                    base64.encodebytes(raw).replace(b'\n', b'\r\n'))
        return f'Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 7bit\r\n', raw
    if kind < 0.8:
        text = words + ' ' + ' '.join(r.choices(NORTH, k=6))
        charset = r.choice(['utf-8', 'iso-8859-1', 'windows-1252'])
        return (f'Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: quoted-printable\r\n',
                quopri.encodestring(text.encode(charset)).replace(b'\n', b'\r\n'))
    if kind < 0.9:
        return 'Content-Type: text/html; charset=utf-8\r\n', f'<html><body><p>{words}</p></body></html>'.encode()
    inner = f'--B\r\nContent-Type: text/plain\r\n\r\n{words}\r\n--B\r\nContent-Type: application/octet-stream\r\n' \
            f'Content-Transfer-Encoding: base64\r\n\r\n{base64.b64encode(r.randbytes(300)).decode()}\r\n--B--\r\n'
    return 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n', inner.encode()


def date_field(r, when):
    kind = r.random()
    if kind < 0.03:
        return ''
    if kind < 0.06:
        return 'Date: ' + r.choice(['yesterday', '', '99 Foo 2026', 'Mon']) + '\r\n'
    zone = r.choice([0, 0, 540, -300, 330, 60])
    shown = time.strftime('%a, %d %b %Y %H:%M:%S', time.gmtime(when + zone * 60))
    return f'Date: {shown} {"-" if zone < 0 else "+"}{abs(zone) // 60:02d}{abs(zone) % 60:02d}\r\n'


def messages(count, seed=5):
    """Yields (bytes, internal date, flags)."""
    r = random.Random(seed)
    threads = []  # [base subject, [ids]]
    for n in range(count):
        arrived = START + n * 1800 + r.randrange(0, 1200)
        if threads and r.random() < 0.7:
            thread = r.choice(threads[-40:])
        else:
            vocabulary = r.choice([LATIN, LATIN, NORTH, EAST])
            thread = [' '.join(r.choices(vocabulary, k=r.randint(1, 4))), []]
            threads.append(thread)
        base, ids = thread
        parent = ids[:r.randint(1, len(ids))] if ids and r.random() < 0.85 else []
        own = f'<m{n}@example.test>'
        head = date_field(r, arrived - r.randrange(0, 90000)) + f'From: {address(r)}\r\nTo: {", ".join(address(r) for _ in range(r.randint(1, 3)))}\r\n'
        if r.random() < 0.3:
            head += f'Cc: {address(r)}\r\n'
        if r.random() < 0.97:
            head += f'Subject: {encoded_subject(subject(r, base, bool(parent)), r)}\r\n'
        kind = r.random()
        if kind < 0.9:
            head += f'Message-ID: {own}\r\n'
        elif kind < 0.93:
            head += 'Message-ID: not an id\r\n'
        elif kind < 0.96 and ids:
            head += f'Message-ID: {r.choice(ids)}\r\n'
        if parent:
            if r.random() < 0.8:
                known = [i for i in parent[-6:] if r.random() < 0.9] or parent[-1:]
                if r.random() < 0.1:
                    known.insert(0, f'<lost{r.randrange(200)}@example.test>')
                head += 'References: ' + '\r\n '.join(known) + '\r\n'
            else:
                head += f'In-Reply-To: {parent[-1]}\r\n'
        elif r.random() < 0.1:
            head += f'References: <lost{r.randrange(100)}@example.test>\r\n'
        if r.random() < 0.2:
            head += f'X-Tag: {r.choice(LATIN)} {r.randrange(10)}\r\n'
        ids.append(own)
        fields, text = body(r)
        flags = [f for f, p in (('\\Seen', 0.5), ('\\Flagged', 0.1), ('\\Answered', 0.2), ('$Work', 0.1)) if r.random() < p]
        yield (head + fields + '\r\n').encode() + text + b'\r\n', arrived, ' '.join(flags)


def keys(r):
    """A search program, as bytes."""
    day = lambda: time.strftime('%d-%b-%Y', time.gmtime(START + r.randrange(0, 45) * 86400)).lstrip('0')
    def one(depth):
        simple = ['ALL', 'SEEN', 'UNSEEN', 'FLAGGED', 'ANSWERED', 'KEYWORD $Work', 'UNKEYWORD $Work', 'UNANSWERED',
                  f'BEFORE {day()}', f'ON {day()}', f'SINCE {day()}', f'SENTBEFORE {day()}', f'SENTON {day()}', f'SENTSINCE {day()}',
                  f'LARGER {r.randrange(400, 1200)}', f'SMALLER {r.randrange(400, 1200)}', f'{r.randrange(1, 900)}:{r.randrange(900, 2000)}',
                  f'UID {r.randrange(1, 900)}:*', f'SUBJECT {r.choice(LATIN)}', f'FROM {r.choice(["ann", "BOB", "example.jp", "doe", "zoe@"])}',
                  f'TO {r.choice(["carol", "jane", "YAMADA"])}', f'CC {r.choice(["ann", "bob"])}', f'BODY {r.choice(LATIN)}',
                  f'TEXT {r.choice(LATIN)}', f'HEADER X-TAG {r.choice(LATIN)}', 'HEADER X-Tag ""', f'HEADER MESSAGE-ID m{r.randrange(100)}',
                  f'HEADER References m{r.randrange(20)}', f'BODY "{" ".join(r.choices(LATIN, k=2))}"']
        text = r.choice(NORTH + EAST + ['GRÜSSE', 'Cafe', 'ガイド', 'ＰＬＡＮ']).encode()
        if r.random() < 0.2:
            return r.choice([b'SUBJECT', b'BODY', b'TEXT', b'FROM']) + b' {%d+}\r\n' % len(text) + text
        if depth > 2 or r.random() < 0.7:
            return r.choice(simple).encode()
        return r.choice([lambda: b'NOT ' + one(depth + 1), lambda: b'OR ' + one(depth + 1) + b' ' + one(depth + 1),
                         lambda: b'(' + one(depth + 1) + b' ' + one(depth + 1) + b')'])()
    return b' '.join(one(0) for _ in range(r.choice([1, 1, 2, 3])))


def commands(count, seed=6):
    r = random.Random(seed)
    sort_keys = ['ARRIVAL', 'CC', 'DATE', 'FROM', 'SIZE', 'SUBJECT', 'TO', 'DISPLAYFROM', 'DISPLAYTO']
    for n in range(count):
        kind = n % 3
        uid = b'UID ' if r.random() < 0.3 else b''
        if kind == 0:
            yield uid + b'SEARCH CHARSET UTF-8 ' + keys(r)
        elif kind == 1:
            chosen = ' '.join(('REVERSE ' if r.random() < 0.3 else '') + k for k in r.sample(sort_keys, r.choice([1, 1, 2, 3])))
            yield uid + f'SORT ({chosen}) UTF-8 '.encode() + (b'ALL' if r.random() < 0.5 else keys(r))
        else:
            yield uid + r.choice([b'THREAD REFERENCES', b'THREAD REFERENCES', b'THREAD REFS', b'THREAD ORDEREDSUBJECT']) + b' UTF-8 ' + \
                (b'ALL' if r.random() < 0.5 else keys(r))
