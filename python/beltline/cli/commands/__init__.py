"""The built-in commands, one module each; `beltline.cli.main` imports the one that is called."""
