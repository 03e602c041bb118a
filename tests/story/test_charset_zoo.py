# SPDX-License-Identifier: Apache-2.0
"""Mail in every charset and wrapping that is met, also without or with a wrong declaration: PREVIEW shows and SEARCH finds what a
person would read."""
import base64, quopri, re, socket
import pytest
from around import *
from hato import Instance

pytestmark = pytest.mark.core
JAPANESE = 'これはお知らせです。来週の会議の資料をお送りします。よろしくお願いいたします。'
CHINESE, TRADITIONAL, KOREAN = '下周的会议资料已经发送', '下週的會議資料已經寄出', '다음 주 회의 자료를 보냅니다'
RUSSIAN, GREEK, POLISH, TURKISH = 'Материалы к встрече', 'Το υλικό της σύσκεψης', 'Materiały na spotkanie', 'Toplantı için belgeler'
FRENCH, HEBREW, THAI = 'Les pièces jointes à été', 'חומרים לפגישה', 'เอกสารการประชุม'
# name, charset as Python knows it, as the message says it (None: not at all), words
ZOO = [
    ('iso-2022-jp', 'iso2022_jp', 'ISO-2022-JP', JAPANESE), ('cp932', 'cp932', 'Shift_JIS', JAPANESE + '①'),
    ('euc-jp', 'euc_jp', 'EUC-JP', JAPANESE), ('gb18030', 'gb18030', 'GB18030', CHINESE), ('gb2312', 'gb2312', '"gb2312"', CHINESE),
    ('big5', 'big5', 'Big5', TRADITIONAL), ('euc-kr', 'euc_kr', 'EUC-KR', KOREAN), ('ks', 'cp949', 'ks_c_5601-1987', KOREAN),
    ('koi8-r', 'koi8_r', 'KOI8-R', RUSSIAN), ('1251', 'cp1251', 'windows-1251', RUSSIAN), ('1253', 'cp1253', 'windows-1253', GREEK),
    ('1250', 'cp1250', 'windows-1250', POLISH), ('1254', 'cp1254', 'windows-1254', TURKISH), ('1252', 'cp1252', 'windows-1252', FRENCH + ' “€”'),
    ('1255', 'cp1255', 'windows-1255', HEBREW), ('8859-1 with more', 'cp1252', 'iso-8859-1', FRENCH + ' “€”'),
    ('8859-2', 'iso8859_2', 'ISO-8859-2', POLISH), ('8859-5', 'iso8859_5', 'ISO-8859-5', RUSSIAN), ('8859-7', 'iso8859_7', 'iso-8859-7', GREEK),
    ('thai', 'cp874', 'tis-620', THAI), ('utf-7', 'utf_7', 'UTF-7', RUSSIAN), ('utf-8', 'utf_8', 'utf8', JAPANESE),
    ('utf-16', 'utf_16', 'UTF-16', GREEK),
    ('iso-2022-jp-3', 'iso2022_jp_3', 'ISO-2022-JP-3', JAPANESE),
    ('cp932 vendor', 'cp932', 'Windows-31J', JAPANESE + '㈱髙﨑①Ⅳ㍻'),
    ('euc-jp, three bytes', 'euc_jp', 'EUC-JP', JAPANESE + '丂丄丅'), ('gb18030, four bytes', 'gb18030', 'GB18030', CHINESE + 'ǅ𠀀𪚥'),
    ('big5-hkscs', 'big5hkscs', 'Big5-HKSCS', TRADITIONAL + '啲嘅咗'), ('koi8-u', 'koi8_u', 'KOI8-U', 'Матеріали їхньої зустрічі ґ'),
    ('gbk', 'gbk', 'GBK', CHINESE + '—龍'), ('866', 'cp866', 'IBM866', RUSSIAN), ('8859-15', 'iso8859_15', 'ISO-8859-15', FRENCH + ' œ €'),
    ('8859-9', 'iso8859_9', 'ISO-8859-9', TURKISH), ('8859-8-i', 'iso8859_8', 'ISO-8859-8-I', HEBREW), ('1257', 'cp1257', 'windows-1257', 'Susitikimo medžiaga ąčęėįš'),
    ('1258', 'utf_8', 'UTF-8', 'Tài liệu cuộc họp'), ('8859-6', 'iso8859_6', 'ISO-8859-6', 'مواد الاجتماع القادم'),
    ('ascii that is latin', 'cp1252', 'us-ascii', FRENCH), ('ascii that is sjis', 'cp932', 'us-ascii', JAPANESE),
    ('jis x 0201 kana', 'iso2022_jp_ext', 'ISO-2022-JP', 'ｶｲｷﾞｼﾘｮｳを送ります。会議の資料ｶｲｷﾞ'),
    ('iso-2022-jp-1', 'iso2022_jp_1', 'ISO-2022-JP-1', JAPANESE + '丂丄'), ('iso-2022-jp-2', 'iso2022_jp_2', 'ISO-2022-JP-2', JAPANESE),
    ('iso-2022-jp-2004', 'iso2022_jp_2004', 'ISO-2022-JP-2004', JAPANESE + '俱剝'), ('johab', 'johab', 'JOHAB', KOREAN),
    # without a declaration, or a wrong one
    ('undeclared utf-8', 'utf_8', None, KOREAN), ('undeclared latin', 'cp1252', None, FRENCH), ('undeclared jis', 'iso2022_jp', None, JAPANESE),
    ('undeclared sjis', 'cp932', None, JAPANESE), ('undeclared euc', 'euc_jp', None, JAPANESE),
    ('ascii that is utf-8', 'utf_8', 'us-ascii', POLISH), ('ascii that is jis', 'iso2022_jp', 'us-ascii', JAPANESE),
    ('unknown name', 'utf_8', 'x-nonsense', RUSSIAN), ('unknown name, sjis', 'cp932', 'default', JAPANESE),
]
WRAPPINGS = ['8bit', 'base64', 'quoted-printable']


def wrap(raw, how):
    """Quoted-printable breaks its lines anywhere, so in the middle of characters too."""
    if how == 'base64':
        return base64.encodebytes(raw).replace(b'\n', b'\r\n')
    if how == '8bit':
        return raw
    coded = ''.join(f'={b:02X}' if b > 126 or b < 32 or b == 61 else chr(b) for b in raw)
    units = re.findall('=..|.', coded)
    return b'=\r\n'.join(''.join(units[i:i + 11]).encode() for i in range(0, len(units), 11))


def mail(n, python, said, words, how, html=False):
    raw = words.encode(python)
    if html:
        page = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={html}"><style>p {{ color: red }}</style>' \
               f'</head><body><p>{words}</p></body></html>'
        raw = page.encode(python)
    charset = said.strip('"') if said and not said.startswith('x-') and said not in ('us-ascii', 'default', 'UTF-16') else 'utf-8'
    word = base64.b64encode(words[:12].encode('utf-8' if charset == 'utf-8' else python)).decode()
    kind = 'text/html' if html else 'text/plain'
    return (f'Subject: =?{charset}?B?{word}?= nr{n}x\r\nFrom: =?{charset}?B?{word}?= <n{n}@else.test>\r\nMIME-Version: 1.0\r\n'
            f'Content-Type: {kind}' + (f'; charset={said}' if said else '') +
            f'\r\nContent-Transfer-Encoding: {how}\r\n\r\n').encode() + wrap(raw, how) + b'\r\n'


def zoo():
    n = 0
    for name, python, said, words in ZOO:
        for how in WRAPPINGS:
            if not (how == '8bit' and python in ('utf_16',)):
                n += 1
                yield f'{name}, {how}', mail(n, python, said, words, how), words
    for python, meta, words in [('cp932', 'Shift_JIS', JAPANESE), ('cp1251', 'windows-1251', RUSSIAN), ('gb18030', 'gb2312', CHINESE),
                                ('big5', 'big5', TRADITIONAL), ('euc_kr', 'euc-kr', KOREAN), ('utf_8', 'iso-8859-1', RUSSIAN)]:
        n += 1
        yield f'html that says {meta}', mail(n, python, None, words, '8bit', html=meta), words
    flowed = 'The meeting of next week is moved to the large room \r\non the second floor.\r\n'
    n += 1
    yield 'flowed', (f'Subject: nr{n}x\r\nContent-Type: text/plain; format=flowed\r\n\r\n' + flowed).encode(), 'large room on the second floor'


def words_of(raw, charset, size, how='B'):
    """Encoded words of a few bytes each, however that cuts the characters."""
    pieces = [raw[i:i + size] for i in range(0, len(raw), size)]
    return '\r\n '.join(f'=?{charset}?B?{base64.b64encode(p).decode()}?=' if how == 'B' else
                         f'=?{charset}?Q?{"".join(f"={b:02X}" for b in p)}?=' for p in pieces)


def attached(disposition):
    return ('Subject: file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee the file\r\n--b\r\n'
            f'Content-Type: application/pdf\r\nContent-Disposition: attachment{disposition}\r\n\r\nx\r\n--b--\r\n')


def percent(raw):
    return ''.join(f'%{b:02X}' for b in raw)


def oddities():
    """Name, message, key, what a person would search for."""
    for charset, python, words in [('utf-8', 'utf_8', JAPANESE), ('Shift_JIS', 'cp932', JAPANESE), ('GB2312', 'gb18030', CHINESE), ('EUC-KR', 'euc_kr', KOREAN)]:
        for how in 'BQ':
            for size in 5, 7:
                yield f'{charset} {how} cut every {size} bytes', f'Subject: {words_of(words.encode(python), charset, size, how)}\r\n\r\nx\r\n', 'SUBJECT', words[:16]
        raw = words.encode(python)
        one, two = percent(raw[:7]), percent(raw[7:])
        yield f'{charset} file name', attached(f"; filename*={charset}''{percent(raw)}"), 'TEXT', words[:12]
        yield f'{charset} file name in pieces', attached(f"; filename*0*={charset}'x'{one};\r\n filename*1*={two};\r\n filename*2=\".pdf\""), 'TEXT', words[:12]
        yield f'{charset} file name, pieces in disorder', attached(f"; filename*1*={two};\r\n filename*0*={charset}''{one}"), 'TEXT', words[:12]
        yield f'{charset} file name of encoded words', attached(f'; filename="{words_of(raw, charset, 15)}"'), 'TEXT', words[:12]


class Client:
    def __init__(self, server, address):
        self.socket = socket.create_connection((server.address, server.ports['imap']), 20 * SLOW)
        self.file = self.socket.makefile('rb')
        self.file.readline()
        self.ask(f'LOGIN {address} secret'.encode())

    def ask(self, command):
        self.socket.sendall(b'x ' + command + b'\r\n')
        lines = b''
        while True:
            line = self.file.readline()
            assert line, f'{command!r}: hung up'
            if line.startswith(b'x '):
                assert line.startswith(b'x OK'), (command, line)
                return lines
            lines += line


def literal(text):
    raw = text.encode()
    return b'{%d+}\r\n%s' % (len(raw), raw)


def test_zoo(tmp_path):
    server = Instance(tmp_path, main='imapd_tls_security_level = none\n').start()
    client = Client(server, server.account('ann@example.test'))
    wrong, animals = [], list(zoo())
    for _, text, _ in animals:
        client.ask(b'APPEND INBOX {%d+}\r\n' % len(text) + text)
    client.ask(b'ENABLE IMAP4rev2')
    client.ask(b'SELECT INBOX')
    for n, (name, _, words) in enumerate(animals, 1):
        preview = client.ask(b'FETCH %d PREVIEW' % n).decode('utf-8', 'replace')
        if words.split('\r\n')[0][:30] not in preview:
            wrong.append(f'{name}: PREVIEW: {preview!r}')
        for key, needle in ('TEXT', words[3:9]), ('BODY', words[-8:]), ('SUBJECT', words[2:8]), ('FROM', words[2:8]):
            if name == 'flowed' and key in ('SUBJECT', 'FROM'):
                continue
            needle = needle.strip()
            found = client.ask(b'SEARCH CHARSET UTF-8 %d %s %s' % (n, key.encode(), literal(needle))).decode()
            if f'ALL {n}\r' not in found:
                wrong.append(f'{name}: SEARCH {key} {needle!r}: {found!r}')
    odd = list(oddities())
    for _, text, _, _ in odd:
        client.ask(b'APPEND INBOX {%d+}\r\n' % len(text) + text.encode())
    for n, (name, _, key, words) in enumerate(odd, len(animals) + 1):
        found = client.ask(b'SEARCH CHARSET UTF-8 %d %s %s' % (n, key.encode(), literal(words.strip()))).decode()
        if f'ALL {n}\r' not in found:
            wrong.append(f'{name}: SEARCH {key} {words!r}: {found!r}')
    client.socket.close()
    problems = server.finish()
    assert not wrong, '\n'.join(wrong)
    assert not problems, '\n'.join(problems)
