"""A program on a terminal of its own: what it shows, keys, signals."""
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from support import process

SECONDS = 20


class Terminal:
    """What `reeve top` uses of a terminal is understood; anything else shows up as text."""

    def __init__(self, command, rows=40, columns=140, env=None):
        self.master, self.slave = pty.openpty()
        self.rows, self.columns = rows, columns
        self.set_size(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.received = ""
        end_with_parent = process.end_with_parent(signal.SIGKILL)

        def before_exec():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            end_with_parent()

        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave,
                                        stderr=subprocess.PIPE, env=env, preexec_fn=before_exec)

    def set_size(self, rows, columns, tell=True):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                part = os.read(self.master, 65536)
                if part:
                    self.received += part.decode(errors="replace")
                    continue
            return

    def press(self, key):
        os.write(self.master, key.encode())

    def _whole(self):
        """The screens so far: each begins and ends with the cursor at home."""
        self.read()
        pieces = self.received.split("\x1b[H")
        return [one for one in pieces[1:-1] if one]

    def screen(self):
        """The lines of the last screen that is whole, as text."""
        whole = self._whole()
        if not whole:
            return []
        lines = re.sub(r"\r\n\x1b\[J$", "", whole[-1]).split("\r\n")
        plain = [re.sub(r"^\x1b\[K|\x1b\[[07]m", "", line) for line in lines]
        for line in plain:
            assert line.isprintable(), repr(line)
        return plain

    def screens(self):
        return len(self._whole())

    def wait_for(self, text, seconds=SECONDS):
        """The first screen that has the text."""
        def found():
            lines = self.screen()
            return lines if any(text in line for line in lines) else None

        try:
            return process.wait_until(found, f"the screen shows {text!r}", seconds)
        except process.Deadline as deadline:
            raise process.Deadline("\n".join([str(deadline), *self.screen()])) from None

    def is_taken(self):
        """Whether the program has a screen of its own and keys come raw."""
        self.read()
        other = self.received.rfind("\x1b[?1049h") > self.received.rfind("\x1b[?1049l")
        hidden = self.received.rfind("\x1b[?25l") > self.received.rfind("\x1b[?25h")
        raw = not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)
        assert other == hidden, self.received[-200:]
        return other and raw

    def is_given_back(self):
        return not self.is_taken() and termios.tcgetattr(self.slave) == self.before

    def wait(self, seconds=SECONDS):
        """(exit status, standard error); whatever it prints meanwhile is read."""
        process.wait_until(lambda: self.read() or self.process.poll() is not None, "it ends", seconds)
        return self.process.returncode, self.process.stderr.read().decode()

    def hang_up(self):
        os.close(self.master)
        self.master = None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if self.master is not None:
            os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def on_terminal(command, **options):
    terminal = Terminal(command, **options)
    try:
        yield terminal
    finally:
        terminal.close()
