"""`lemmata completion`: a script that teaches the shell these commands."""

import argparse

SUMMARY = "print a completion script for your shell"
TEXT = """\
Prints a script with which the shell completes commands, options and the names of
systems. Add its line to the shell's start-up file and open a new shell."""
EXAMPLES = """\
  eval "$(lemmata completion bash)"                          in ~/.bashrc
  lemmata completion zsh > ~/.zfunc/_lemmata                 with ~/.zfunc in fpath
  lemmata completion tcsh >> ~/.tcshrc"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab

    from .._parser import build

    print(shtab.complete(build(completing=True), shell=args.shell))
    return 0
