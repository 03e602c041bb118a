# SPDX-License-Identifier: Apache-2.0
"""What core remembers of a large mailbox is what the database says, whatever clients do to it in between."""
import random, re
import hato, pytest
from around import *

USER = 'ann@example.test'
MANY = 1500
CHANGES = 40
ROW = re.compile(rb'^\d+ \(UID (\d+) FLAGS \(([^)]*)\) RFC822.SIZE (\d+)')


def fetch(m, items):
    """Uid: flags and size, of all messages."""
    answer = m.uid('FETCH', '1:*', f'(UID FLAGS RFC822.SIZE{items})')
    assert answer[0] == 'OK', answer
    rows = [ROW.match(line if isinstance(line, bytes) else line[0]) for line in answer[1]]
    return {int(r[1]): (frozenset(r[2].split()) - {b'\\Recent'}, int(r[3])) for r in rows if r}  # news of flags come as well


@pytest.mark.core
def test_a_large_mailbox_that_changes_is_told_as_it_is(tmp_path):
    h = hato.Instance(tmp_path)
    h.account(USER)
    h.start()
    try:
        dice = random.Random(4711)
        reader, writer = h.imap(USER), h.imap(USER)
        piece = [b'{%d+}\r\nSubject: %d\r\n\r\n%s\r\n' % (len(t) + 11 + len(b'%d' % n) + 4, n, t)
                 for n in range(MANY) for t in [b'x' * (n % 50)]]
        writer.send(b'fill APPEND INBOX ' + b' '.join(piece) + b'\r\n')
        while not (line := writer.readline()).startswith(b'fill '):
            assert line.startswith(b'*'), line
        assert line.startswith(b'fill OK'), line
        reader.select('INBOX'), writer.select('INBOX')
        assert len(fetch(reader, '')) == MANY
        for _ in range(CHANGES):
            first = dice.randrange(1, MANY)
            where = f'{first}:{first + dice.randrange(30)}'
            what = dice.choice(['+FLAGS (\\Seen $Work)', '-FLAGS (\\Seen)', '+FLAGS (later)', 'FLAGS (\\Answered)', 'EXPUNGE', 'APPEND'])
            if what == 'APPEND':
                assert writer.append('INBOX', None, None, b'Subject: new\r\n\r\nnew\r\n')[0] == 'OK'
            elif what == 'EXPUNGE':
                writer.uid('STORE', where, '+FLAGS (\\Deleted)')
                assert writer.uid('EXPUNGE', where)[0] == 'OK'
            else:
                writer.uid('STORE', where, what)
            reader.noop()
            # INTERNALDATE is not remembered: that goes over the rows
            remembered = fetch(reader, '')
            assert remembered == fetch(writer, '') == fetch(reader, ' INTERNALDATE'), what
    finally:
        problems = h.finish()
    assert problems == []
