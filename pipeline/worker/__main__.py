"""``python -m pipeline.worker``: the worker process."""

from pipeline.worker.process import main

if __name__ == "__main__":
    main()
