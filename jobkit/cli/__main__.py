"""`python -m jobkit.cli` is `jobkit`: for where the script is not on the PATH."""

from jobkit.cli import main

main()
