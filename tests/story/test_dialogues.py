# SPDX-License-Identifier: Apache-2.0
"""Dialogues that chasquid's authors wrote against their server (tests/data/smtp-dialogues). Reply texts are each server's
own; what counts is the kind of answer, and that nothing is delivered which should not be."""
import glob, os, re
import pytest
from around import TOP
from hato import running

FILES = sorted(glob.glob(TOP + '/tests/data/smtp-dialogues/*.cmy'))
# A stranger who speaks HTTP may be told off or hung up on, and so may one who smuggles.
ALSO = {'wrong_proto': (0, 221, 421), 'line_too_long': (0, 421)}


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('dialogues'), 'user@testserver', host='testserver', main='message_size_limit = 1048576') as instance:
        yield instance


@pytest.mark.core
@pytest.mark.parametrize('path', FILES, ids=[os.path.basename(f)[:-4] for f in FILES])
def test_dialogue(server, path):
    name = os.path.basename(path)[:-4]
    before = len(server.messages('user@testserver'))
    talk, unread = None, None
    with open(path) as f:
        for line in f.read().splitlines():
            if line.startswith('c tcp_connect'):
                if talk:
                    talk.close()
                talk = server.dialogue()
                unread = talk.banner
            elif line.startswith('c ->'):
                talk.raw(line[5:] + '\r\n')
            elif line.startswith('c ~>'):
                talk.raw(eval(line[5:], {'__builtins__': {}}))
            elif re.match(r'c <(-|~|\.\.\.)', line):
                want = int(re.search(r'\d{3}', line).group())
                code, text = unread or talk.reply()
                unread = None
                assert code // 100 == want // 100 or code in ALSO.get(name, ()), f'{line!r}: {text!r}'
                if '5.5.2' in line:
                    assert '5.5.2' in text or code == 552  # too large is a good reason, too
    talk.close()
    after = server.messages('user@testserver')
    assert len(after) - before == (name == 'data_dot_stuffing')
    if name == 'data_dot_stuffing':
        assert after[-1].get_payload().splitlines() == ['Muahahahaha', '', '.x', '', '.', '', 'This is stuffy.', '']
