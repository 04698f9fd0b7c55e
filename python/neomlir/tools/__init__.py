"""The command-line tools: argument parsing and printing, nothing else."""

import os
import signal
import sys


def _while_starting() -> None:
    """Let Ctrl-C end a command that is still being loaded at once: as an exception in the middle of an import it would
    show a traceback, or crash a library that was half loaded."""
    is_command = os.path.basename(sys.argv[0] if sys.argv else "").startswith("neo-")
    if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def take_interrupts() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_while_starting()
