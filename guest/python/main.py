"""The program that runs Python functions inside a sandbox; docs/wire.md says what it speaks.

Started ahead of need it says hello, loads what most handlers import, and waits for a deployment. Nothing but the standard
library of Python 3.9 or newer is needed.
"""
import sys


def main():
    from _aloft import runtime

    # What lies beside this file is the runtime's own, and packages of this machine are none of the function's.
    own = sys.path[0]
    sys.path[:] = [p for p in sys.path if p != own and not p.endswith(("site-packages", "dist-packages"))]
    runtime.run()


if __name__ == "__main__":
    main()
