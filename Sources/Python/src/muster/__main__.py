"""`python3 -m muster include`: where the C headers are. `python3 -m muster version`."""

import sys

import muster

if __name__ == "__main__":
    if sys.argv[1:] == ["include"]:
        print(muster.get_include())
    elif sys.argv[1:] == ["version"]:
        print(muster.__version__)
    else:
        sys.exit(f"python3 -m muster include | version\n\n{__doc__}")
