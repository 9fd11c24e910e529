"""`python -m nsad_cli` is `nsad`."""

from nsad_cli.cli.main import main

if __name__ == "__main__":
    main()
