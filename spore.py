"""Run one spore: python spore.py [--port 7860] [--data-dir FOLDER] [--peers URL]"""

import sys

from synapse.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
