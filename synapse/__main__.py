"""`python -m synapse` is the `synapse` command."""

from synapse.cli import main

if __name__ == "__main__":
    main()
