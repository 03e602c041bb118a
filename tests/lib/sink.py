# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that behaves, or misbehaves, as it is told. What it took is in .messages: (sender, recipients, text)."""
import re, socket, ssl, threading, time
from around import *


class Sink:
    """rules, all of them optional and changeable while it runs:
      greylist    how many RCPT commands get 451 before the others are accepted
      replies     {'RCPT TO:<x@y>': '550 5.1.1 unknown', 'DATA': …, '.': …, 'EHLO': …}: the reply to a line that begins so
      drop_data   how many times the connection is cut in the middle of the text
      drop_dot    how many times the text is taken whole, and the connection cut instead of a reply
      banner      the greeting; a 4xx or 5xx is followed by the end of the connection
      delay       seconds before every reply
      extensions  what EHLO offers; 'STARTTLS' needs the folder for a certificate
      tls_breaks  STARTTLS is offered and accepted, but then no TLS comes
    """
    def __init__(self, address='127.0.0.1', port=None, folder=None, **rules):
        self.address, self.port = address, port or free_port(address)
        self.rules = dict(greylist=0, replies={}, drop_data=0, drop_dot=0, banner='220 sink.test ESMTP', delay=0,
                          extensions=['PIPELINING', 'SIZE 50000000', '8BITMIME', 'ENHANCEDSTATUSCODES'], tls_breaks=False)
        self.rules.update(rules)
        self.messages, self.commands, self.connections, self.encrypted, self.live, self.most = [], [], 0, 0, 0, 0
        self.lock, self.context = threading.Lock(), None
        if folder:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*make_certificate(folder, 'sink', 'sink.test'))
        self.start()

    def start(self):
        self.listener = socket.create_server((self.address, self.port), backlog=100)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Nobody listens any more: connections are refused."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _take(self, rule):
        """Counts a rule down; whether it applies now."""
        with self.lock:
            if self.rules[rule] > 0:
                self.rules[rule] -= 1
                return True
        return False

    def _serve(self, peer):
        with self.lock:
            self.connections += 1
            self.live += 1
            self.most = max(self.most, self.live)
        try:
            peer.settimeout(60 * SLOW)
            self._session(peer)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.live -= 1
            peer.close()

    def _session(self, peer):
        file = peer.makefile('rb')

        def say(line):
            time.sleep(self.rules['delay'])
            peer.sendall(line.encode() + b'\r\n')
        say(self.rules['banner'])
        if self.rules['banner'][0] in '45':
            return
        sender, to = None, []
        while True:
            line = file.readline(65536).decode('utf-8', 'replace').rstrip('\r\n')
            if not line:
                return
            self.commands.append(line)
            verb = line.upper()
            special = next((r for k, r in self.rules['replies'].items() if line.upper().startswith(k.upper())), None)
            if special is not None:
                say(special)
                if special.startswith('421'):
                    return
            elif verb.startswith('EHLO'):
                offered = ['sink.test'] + self.rules['extensions']
                for n, word in enumerate(offered, 1):
                    say(f'250{" " if n == len(offered) else "-"}{word}')
            elif verb.startswith('STARTTLS'):
                say('220 2.0.0 go on')
                if self.rules['tls_breaks']:
                    peer.sendall(b'this is no TLS\r\n')
                    return
                peer = self.context.wrap_socket(peer, server_side=True)
                file = peer.makefile('rb')
                self.encrypted += 1
            elif verb.startswith('MAIL FROM:'):
                sender, to = re.search(r'<(.*?)>', line).group(1), []
                say('250 2.1.0 ok')
            elif verb.startswith('RCPT TO:'):
                if self._take('greylist'):
                    say('451 4.7.1 greylisted, come again')
                else:
                    to.append(re.search(r'<(.*?)>', line).group(1))
                    say('250 2.1.5 ok')
            elif verb == 'DATA':
                if not to:
                    say('554 5.5.1 no recipients')
                    continue
                say('354 go on')
                cut, text = self._take('drop_data'), b''
                while True:
                    part = file.readline()
                    if cut and len(text) > 200 or not part:
                        return
                    if part == b'.\r\n':
                        break
                    text += part[1:] if part.startswith(b'.') else part
                if self._take('drop_dot'):
                    self.messages.append((sender, to, text))
                    return
                if '.' in self.rules['replies']:
                    say(self.rules['replies']['.'])
                    continue
                self.messages.append((sender, to, text))
                say('250 2.0.0 taken as S1')
            elif verb == 'QUIT':
                say('221 2.0.0 bye')
                return
            else:
                say('250 2.0.0 ok')
