# SPDX-License-Identifier: Apache-2.0
"""bounce(8) beside Debian's: who hears what of a message, as NOTIFY, RET, bounce_size_limit, notify_classes and VERP have it."""
import email, re, socket
import pytest
import postfix as postfix_
import sink as sink_
from around import *
from clients import *

pytestmark = pytest.mark.root
MAIN = '''myorigin = twin.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
relay_domains = bad.test, good.test
default_transport = smtp:[127.0.0.1]:@PORT@
relay_transport = $default_transport
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = no
append_dot_mydomain = no
recipient_delimiter = +
virtual_alias_maps = inline:{ { two@good.test = one@bad.test, b@good.test } }
virtual_alias_domains =
virtual_mailbox_domains =
notify_classes = bounce, 2bounce
bounce_notice_recipient = bounces@pm.test
2bounce_notice_recipient = 2bounces@pm.test
bounce_size_limit = 3000
smtpd_authorized_verp_clients = 127.0.0.1
verp_delimiter_filter = -=+#
default_verp_delimiters = #=
'''
# name: (parameters of MAIL, recipients with their parameters, lines of the text)
CASES = {
    'plain': ('', ['a@bad.test'], 1),
    'several': ('', ['a@bad.test', 'b@full.test', 'c@good.test'], 1),
    'never': ('', ['a@bad.test NOTIFY=NEVER'], 1),
    'someNever': ('', ['a@bad.test NOTIFY=NEVER', 'b@bad.test', 'c@full.test NOTIFY=FAILURE'], 1),
    'onlySuccess': ('', ['a@bad.test NOTIFY=SUCCESS'], 1),
    'success': ('', ['a@good.test NOTIFY=SUCCESS'], 1),
    'successFull': (' RET=FULL ENVID=an+20id', ['a@good.test NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o+2Bx@good.test'], 1),
    'both': ('', ['a@good.test NOTIFY=SUCCESS,FAILURE', 'a@bad.test NOTIFY=SUCCESS,FAILURE'], 1),
    'headers': (' RET=HDRS ENVID=7', ['a@bad.test ORCPT=rfc822;first@else.test'], 1),
    'whole': (' RET=FULL', ['a@bad.test'], 1),
    'long': ('', ['a@bad.test'], 100),
    'longFull': (' RET=FULL', ['a@bad.test'], 100),
    'alias': ('', ['two@good.test'], 1),
    'aliasNever': ('', ['two@good.test NOTIFY=NEVER'], 1),
    'verp': (' XVERP', ['a@bad.test', 'b@full.test', 'c+x@good.test', 'd@good.test'], 1),
    'verpOwn': (' XVERP=-=', ['a@bad.test', 'd@good.test'], 1),
    'verpNever': (' XVERP', ['a@bad.test NOTIFY=NEVER'], 1),
    'null': (None, ['a@bad.test'], 1),
}


def told(mail):
    """A notice, as far as it has to be the same."""
    m = email.message_from_string(mail)
    lines = [f'{k}: {re.sub("[;] *boundary=.*", "", " ".join(m[k].split()))}' for k in ('From', 'To', 'Subject', 'Auto-Submitted', 'Content-Type') if m[k]]
    if not m.is_multipart():
        return lines + m.get_payload().splitlines()
    for part in m.get_payload():
        lines.append(f'-- {part.get_content_type()}: {part["Content-Description"]}')
        if part.get_content_type() == 'message/delivery-status':
            for group in part.get_payload():
                lines += sorted(f'{k}: {v}' for k, v in group.items() if k not in ('Arrival-Date', 'X-Postfix-Queue-ID', 'X-hato-Queue-ID'))
        else:
            text = part.as_string().partition('\n\n')[2]
            if part.get_content_type() in ('message/rfc822', 'text/rfc822-headers'):
                text = re.sub(r'(?im)^(Received|Authentication-Results|Return-Path|Message-ID|Date): .*\n(?:[ \t].*\n)*', '', text)
            elif part['Content-Description'] == 'Notification':  # the words of the templates are each server's own
                text = '\n'.join(re.findall(r'^<.*', re.sub(r'\n +(?=\S)', ' ', text), re.M))
            lines += [line for line in text.splitlines() if line]
    return [re.sub('X-(hato|Postfix)', 'X-Its', re.sub(r'127\.0\.0\.1\]:\d+', 'SINK', re.sub(r'queued as \w+', 'queued', line))) for line in lines]


def play(address, port, name, case):
    parameters, recipients, size = case
    with socket.create_connection((address, port), 30 * SLOW) as s:
        f = s.makefile('rwb')
        def say(line, code):
            if line:
                f.write(line.encode() + b'\r\n')
                f.flush()
            while True:
                reply = f.readline().decode()
                if reply[3:4] != '-':
                    break
            assert reply.startswith(code), f'{name}: {line}: {reply}'
        say('', '220')
        say('EHLO client.test', '250')
        say('MAIL FROM:<>' if parameters is None else f'MAIL FROM:<{name}@from.test>{parameters}', '250')
        for r in recipients:
            address, _, more = r.partition(' ')
            say(f'RCPT TO:<{address}> {more}'.rstrip(), '250')
        say('DATA', '354')
        text = f'From: x@from.test\r\nSubject: {name}\r\nX-Case: {name}\r\n\r\n' + ('0123456789' * 7 + '\r\n') * size
        say(text + '.', '250')
        say('QUIT', '221')


def sent(sink):
    """{case: sorted [(sender, recipients, what it says)]}"""
    out = {}
    for sender, to, text in list(sink.messages):
        text = text if isinstance(text, str) else text.decode()
        text = text.replace('\r\n', '\n')
        case = re.search(r'^X-Case: (\w+)$', text, re.M)[1]
        notice = sender in ('', 'double-bounce@twin.test') or sender.startswith('double-bounce')
        out.setdefault(case, []).append((re.sub('@.*', '', sender) if notice else sender, ','.join(to), told(text) if notice else []))
    return {c: sorted(l, key=str) for c, l in out.items()}


@postfix_.to_the_letter
@pytest.mark.parametrize('more', ['', 'disable_verp_bounces = yes\n'])
def test_notices(hosts, folder, more):
    got, logs = {}, {}
    cases = [n for n in CASES if not more or n.startswith('verp')]
    for side in 'postfix', 'hato':
        there = sink_.Sink()
        there.rules['replies'] = {f'RCPT TO:<{name}@bad.test>': '550 5.1.9 no such thing' for name in ('a', 'b', 'one')} | {
            'RCPT TO:<b@full.test>': '554-5.2.2 full\r\n554 5.2.2 really'}
        main = MAIN.replace('@PORT@', str(there.port)) + more
        if side == 'hato':
            server = hosts('mail.twin.test', 'compatibility_level = 3.6\ndkim_sign = no\nrequiretls_enable = no\nmyhostname = mail.twin.test\n'
                           + main.replace('mydestination =\n', 'mydestination =\nmydomain = twin.test\n'), services={'smtp': 'smtpd'})
            address, port, stop = server.address, server.ports['smtp'], server.stop
        else:
            server = postfix_.Postfix(f'{folder}/postfix', 'twin.test', port=free_port(), tls=False, main='myhostname = mail.twin.test\n' + main)
            server.start()
            address, port, stop = server.address, server.port, server.stop
        try:
            for name in cases:
                play(address, port, name, CASES[name])
            if side == 'postfix':
                quiet, before = 0, -1
                while quiet < 15:
                    time.sleep(0.2)
                    quiet, before = (quiet + 1, before) if len(there.messages) == before else (0, len(there.messages))
                wanted = before
            else:
                try:
                    wait_until(lambda: len(there.messages) >= wanted + (2 if more else 0), 20)
                except AssertionError:
                    pass
            logs[side] = server.log()
        finally:
            stop()
            there.stop()
        got[side] = sent(there)
    report = []
    for case in cases:
        a, b = got['hato'].get(case, []), got['postfix'].get(case, [])
        heads = [[(s, t) for s, t, _ in side] for side in (a, b)]
        if more:  # doc/postfix-differences.md 27: a delivery each, and a notice of each
            if sorted(set(heads[0])) != sorted(set(heads[1])):
                report += [f'{case}: hato sent {heads[0]}', f'{" " * len(case)}  Postfix  {heads[1]}']
            continue
        if heads[0] != heads[1]:
            report += [f'{case}: hato sent {heads[0]}', f'{" " * len(case)}  Postfix  {heads[1]}']
            continue
        for (sender, to, x), (_, _, y) in zip(a, b):
            if x != y:
                report += [f'{case}: <{sender}> to {to} (- Postfix, + hato)', *[f'    - {l}' for l in y if l not in x], *[f'    + {l}' for l in x if l not in y]]
    assert not report, '\n'.join(report) + '\n' + logs['hato'][-2000:]
