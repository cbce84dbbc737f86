"""python -m benchmarks.retrieval"""

import sys

from benchmarks.retrieval import main

main(sys.argv[1:])
