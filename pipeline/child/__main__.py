"""``python -m pipeline.child PIPE STAGE``: a child of a worker."""

import sys

from pipeline.child.serve import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
