# SPDX-License-Identifier: Apache-2.0
"""gen(i, random.Random(42)): deterministic realistic small MIME mails (plain, alternative, attachment), 4.9 KB each.
Every 1000th body holds the word 'needle'."""
import base64, time
W = '''the of and to in is that for it was on are as with they be at one have this from by not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know get through back much before go good new write our used me man too any day same right look think also around another came come work three word must because does part'''.split()
def gen(i, r):
    t = 1700000000 + i * 900
    def para(n): 
        o = []; 
        for _ in range(n): o.append(' '.join(r.choices(W, k=r.randint(6, 13))).capitalize() + '.')
        return '\r\n'.join(o)
    f = r.choice(['alice', 'bob', 'carol', 'dan', 'erin', 'frank']); subj = ' '.join(r.choices(W, k=r.randint(2, 7)))
    thread = i - i % 5; d = time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime(t))
    h = f'Return-Path: <{f}@ext{i%50}.example>\r\nDelivered-To: user@bench.test\r\nReceived: from mx{i%9}.ext.example (mx.ext.example [192.0.2.{i%250}])\r\n\tby mail.bench.test (hato) with ESMTPS id {i:012x}\r\n\tfor <user@bench.test>; {d}\r\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=ext{i%50}.example; s=s1;\r\n\th=from:to:subject:date; bh={base64.b64encode(r.randbytes(32)).decode()};\r\n\tb={base64.b64encode(r.randbytes(128)).decode()}\r\nFrom: {f.capitalize()} Example <{f}@ext{i%50}.example>\r\nTo: User Name <user@bench.test>\r\nCc: List Two <list{i%7}@bench.test>\r\nSubject: {"Re: " if i%5 else ""}{subj if not i%5 else "topic %d"%thread}\r\nDate: {d}\r\nMessage-ID: <m{i}@ext.example>\r\n' + (f'In-Reply-To: <m{thread}@ext.example>\r\nReferences: <m{thread}@ext.example>\r\n' if i % 5 else '') + 'MIME-Version: 1.0\r\n'
    k = r.random(); body = para(r.randint(5, 40)) + ('\r\nneedle\r\n' if i % 1000 == 7 else '')
    if k < .45: return h + 'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n' + body + '\r\n', t
    b = f'=_b{i:x}'
    alt = f'--{b}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n--{b}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><p>{body}</p></body></html>\r\n'
    if k < .85: return h + f'Content-Type: multipart/alternative; boundary="{b}"\r\n\r\n{alt}--{b}--\r\n', t
    m = f'=_m{i:x}'; raw = r.randbytes(r.randint(2000, 20000)); e = base64.encodebytes(raw).decode().replace('\n', '\r\n')
    return h + f'Content-Type: multipart/mixed; boundary="{m}"\r\n\r\n--{m}\r\nContent-Type: multipart/alternative; boundary="{b}"\r\n\r\n{alt}--{b}--\r\n--{m}\r\nContent-Type: application/pdf; name="f{i}.pdf"\r\nContent-Disposition: attachment; filename="f{i}.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n{e}--{m}--\r\n', t
