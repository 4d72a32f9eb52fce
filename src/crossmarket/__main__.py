"""`python -m crossmarket`: the command line."""

from crossmarket.cli import main

main()
