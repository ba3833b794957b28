"""`python -m inpaintcli` is `inpaint`."""

from inpaintcli.cli.main import main

main()
